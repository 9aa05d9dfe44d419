//! An API server with one Lease.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use crate::runtime::lock::lock;

pub(super) const NAME: &str = "azwib";

/// How long a request takes to the API server, and its answer back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ways {
    pub(super) there: Duration,
    pub(super) back: Duration,
}

/// Calls of one process: how they go, given their number.
type Course = Arc<dyn Fn(usize) -> Ways + Send + Sync>;

/// A write that was taken: when, by whom, and what it said.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) at: Instant,
    pub(super) by: String,
    pub(super) spec: Value,
}

struct State {
    lease: Option<Value>,
    version: u64,
    written: Vec<Written>,
    courses: BTreeMap<String, Course>,
    calls: usize,
    changed: broadcast::Sender<(&'static str, Value)>,
}

#[derive(Clone)]
pub(super) struct ApiServer(Arc<Mutex<State>>);

impl ApiServer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            lease: None,
            version: 10,
            written: vec![],
            courses: BTreeMap::new(),
            calls: 0,
            changed: broadcast::channel(1000).0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// From now on the calls of this process go so.
    pub(super) fn of(&self, process: &str, course: impl Fn(usize) -> Ways + Send + Sync + 'static) {
        let mut state = self.state();
        state.calls = 0;
        state.courses.insert(process.to_owned(), Arc::new(course));
    }

    /// From now on no answer reaches this process, and none of its requests arrives.
    pub(super) fn cut_off(&self, process: &str) {
        self.of(process, |_| Ways {
            there: Duration::from_secs(3600),
            back: Duration::ZERO,
        });
    }

    pub(super) fn written(&self) -> Vec<Written> {
        self.state().written.clone()
    }

    pub(super) fn spec(&self) -> Value {
        let state = self.state();
        state
            .lease
            .as_ref()
            .map_or(Value::Null, |it| it["spec"].clone())
    }

    pub(super) fn holder(&self) -> String {
        self.spec()["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Somebody writes this into the Lease.
    pub(super) fn write_by_hand(&self, spec: &Value) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": NAME, "namespace": "azwib-system", "uid": "1" }, "spec": spec,
        });
        self.state().put(lease);
    }

    pub(super) fn release_by_hand(&self) {
        self.write_by_hand(&json!({ "holderIdentity": "", "leaseDurationSeconds": 1 }));
    }

    pub(super) fn delete_by_hand(&self) {
        let mut state = self.state();
        if let Some(lease) = state.lease.take() {
            let _ = state.changed.send(("DELETED", lease));
        }
    }

    pub(super) fn client(&self, process: &str) -> Client {
        let (server, process) = (self.clone(), process.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, process) = (server.clone(), process.clone());
            async move {
                let ways = server.state().next_call(&process);
                sleep(ways.there).await;
                let (head, body) = request.into_parts();
                let query = head.uri.query().unwrap_or_default().to_owned();
                let answer = if query.contains("watch=true") {
                    ok(server.watch())
                } else {
                    let body = body.collect().await.map(|it| it.to_bytes());
                    let body = serde_json::from_slice(&body.unwrap_or_default());
                    let body = body.unwrap_or(Value::Null);
                    let path = head.uri.path();
                    server.state().answer(&head.method, path, &process, body)
                };
                sleep(ways.back).await;
                Ok::<_, Infallible>(answer)
            }
        });
        Client::new(service, "default")
    }

    fn watch(&self) -> impl Stream<Item = Bytes> + Send + use<> {
        let changes = self.state().changed.subscribe();
        stream::unfold(changes, async |mut changes| {
            let (kind, lease) = changes.recv().await.ok()?;
            let line = format!("{}\n", json!({ "type": kind, "object": lease }));
            Some((Bytes::from(line), changes))
        })
    }
}

type Answer = Response<StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

fn ok(body: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    Response::new(StreamBody::new(body.map(|it| Ok(Frame::data(it))).boxed()))
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = Bytes::from(body.to_string());
    let mut answer = ok(stream::once(async { body }));
    *answer.status_mut() = code.try_into().unwrap();
    answer
}

fn refusal(code: u16, reason: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": reason,
    });
    whole(code, &status)
}

impl State {
    fn next_call(&mut self, process: &str) -> Ways {
        self.calls += 1;
        let course = self.courses.get(process);
        course.map_or_else(Ways::default, |course| course(self.calls))
    }

    fn put(&mut self, mut lease: Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = if self.lease.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.lease = Some(lease.clone());
        let _ = self.changed.send((kind, lease));
    }

    fn answer(&mut self, method: &Method, path: &str, by: &str, body: Value) -> Answer {
        let is_list = path.ends_with("/leases");
        match (method, self.lease.clone()) {
            (&Method::GET, lease) if is_list => {
                let items: Vec<_> = lease.into_iter().collect();
                let version = self.version.to_string();
                whole(
                    200,
                    &json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList",
                        "metadata": { "resourceVersion": version }, "items": items }),
                )
            }
            (&Method::GET, Some(lease)) => whole(200, &lease),
            (&Method::POST, None) => self.take(by, body, "2"),
            (&Method::POST, Some(_)) => refusal(409, "AlreadyExists"),
            (&Method::PUT, Some(lease)) => {
                let version = |it: &Value| it["metadata"]["resourceVersion"].clone();
                if version(&lease) != version(&body) {
                    return refusal(409, "Conflict");
                }
                self.take(by, body, "1")
            }
            _ => refusal(404, "NotFound"),
        }
    }

    fn take(&mut self, by: &str, mut lease: Value, uid: &str) -> Answer {
        self.written.push(Written {
            at: Instant::now(),
            by: by.to_owned(),
            spec: lease["spec"].clone(),
        });
        if lease["metadata"]["uid"].is_null() {
            lease["metadata"]["uid"] = json!(uid);
        }
        self.put(lease);
        whole(200, &self.lease.clone().unwrap_or_default())
    }
}
