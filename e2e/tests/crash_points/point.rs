//! The points at which the operator is killed.

use std::fmt;

use azure_simulator::control::api::{RequestRecord, When};
use azwib_e2e::ApiProxy;
use azwib_e2e::api_proxy::{CallMatcher, CallRecord, HeldCall};
use azwib_e2e::environment::Namespace;
use azwib_e2e::environment::interference::HeldRequest;

/// A kind of call of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call<'a> {
    /// Method and path below the namespace; a glob.
    Kubernetes(&'a str, &'a str),
    /// The operation, as the simulator's log names it.
    Azure(&'a str),
}

/// One call: of those of its kind the nth, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) nth: u64,
}

/// A point in the table of a story.
pub(crate) const fn kubernetes(
    method: &'static str,
    path: &'static str,
    nth: u64,
) -> Point<'static> {
    let call = Call::Kubernetes(method, path);
    Point { call, nth }
}

/// The same for a request to Azure.
pub(crate) const fn azure(operation: &'static str, nth: u64) -> Point<'static> {
    let call = Call::Azure(operation);
    Point { call, nth }
}

impl fmt::Display for Point<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Call::Kubernetes(method, path) => write!(formatter, "{method} {path}"),
            Call::Azure(operation) => formatter.write_str(operation),
        }?;
        write!(formatter, " #{}", self.nth)
    }
}

/// A call that is held for a test.
pub(crate) enum Held {
    Kubernetes(HeldCall),
    Azure(HeldRequest),
}

impl Point<'_> {
    pub(crate) fn is_event(&self) -> bool {
        matches!(self.call, Call::Kubernetes(_, path) if path.starts_with("events"))
    }

    /// Holds this call, counted from now on.
    pub(crate) async fn hold(
        &self,
        proxy: &ApiProxy,
        shop: &Namespace<'_>,
        when: When,
    ) -> anyhow::Result<Held> {
        match self.call {
            Call::Kubernetes(method, path) => {
                let matcher = CallMatcher {
                    method: method.to_owned(),
                    path: format!("/api*/**/namespaces/{}/{path}", shop.name()),
                };
                Ok(Held::Kubernetes(proxy.hold(&matcher, self.nth, when)?))
            }
            Call::Azure(operation) => {
                let held = shop.hold_operation(operation, self.nth, when).await?;
                Ok(Held::Azure(held))
            }
        }
    }
}

impl Held {
    pub(crate) async fn reached(&self) -> anyhow::Result<()> {
        match self {
            Self::Kubernetes(held) => held.reached().await,
            Self::Azure(held) => held.reached().await,
        }
    }
}

/// The writes of the operator in this namespace among all calls to the API server, numbered by kind.
pub(crate) fn writes<'a>(calls: &'a [CallRecord], namespace: &str) -> Vec<Point<'a>> {
    let below = format!("/namespaces/{namespace}/");
    let kinds = calls.iter().filter(|call| call.is_write());
    numbered(kinds.filter_map(|call| {
        let (_, path) = call.path.split_once(&below)?;
        Some(kind(&call.method, path))
    }))
}

/// The requests to Azure among these, numbered by kind.
pub(crate) fn requests(requests: &[RequestRecord]) -> Vec<Point<'_>> {
    numbered(requests.iter().map(|it| Call::Azure(&it.operation)))
}

/// The names of events are made up.
fn kind<'a>(method: &'a str, path: &'a str) -> Call<'a> {
    match path.split_once('/') {
        Some(("events", _)) => Call::Kubernetes(method, "events/*"),
        _ => Call::Kubernetes(method, path),
    }
}

fn numbered<'a>(calls: impl Iterator<Item = Call<'a>>) -> Vec<Point<'a>> {
    let mut points: Vec<Point<'a>> = Vec::new();
    for call in calls {
        let before = points.iter().filter(|point| point.call == call).count();
        let nth = before as u64 + 1;
        points.push(Point { call, nth });
    }
    points
}
