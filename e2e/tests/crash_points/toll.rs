//! What a story cost: the operator's writes, as the proxy and the simulator saw them.

use std::collections::BTreeMap;

use azure_simulator::control::api::RequestRecord;
use azwib_e2e::api_proxy::CallRecord;
use k8s_openapi::jiff::Timestamp;

use crate::point::{Call, Point, requests, writes};
use crate::stage::{Case, SETTLE_TIME, Stage};
use crate::story::Crash;

/// The writes of one case, by kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toll {
    /// Those that the API server accepted.
    kubernetes: BTreeMap<String, usize>,
    /// Those that were sent to Azure.
    azure: Vec<AzureWrite>,
}

#[derive(Debug, PartialEq, Eq)]
struct AzureWrite {
    operation: String,
    effective: bool,
    started: Timestamp,
}

impl Toll {
    /// The writes so far of each of these cases.
    pub(crate) async fn of(stage: &Stage, cases: &[&Case]) -> anyhow::Result<Vec<Self>> {
        let calls = stage.proxy.calls();
        let requests = stage.requests(cases).await?;
        let tolls = cases.iter().zip(requests).map(|(case, requests)| Self {
            kubernetes: accepted(&calls, case),
            azure: requests
                .iter()
                .filter(|it| is_write(it))
                .map(|it| AzureWrite {
                    operation: it.operation.clone(),
                    effective: it.effective,
                    started: it.started,
                })
                .collect(),
        });
        Ok(tolls.collect())
    }

    /// How many writes there were in all.
    pub(crate) fn writes(&self) -> usize {
        self.kubernetes.values().sum::<usize>() + self.azure.len()
    }

    /// What one crash does not excuse.
    pub(crate) fn complaints(
        &self,
        clean: &Self,
        crash: &Crash,
        restarted: Timestamp,
    ) -> Vec<String> {
        let mut complaints = Vec::new();
        for (kind, count) in &self.kubernetes {
            let usual = clean.kubernetes.get(kind).copied().unwrap_or_default();
            if *count > usual + more_after_a_crash(kind) {
                complaints.push(format!("{count} times {kind}, {usual} without a crash"));
            }
        }
        if self.azure.len() > clean.azure.len() + 1 {
            let (found, usual) = (&self.azure, &clean.azure);
            complaints.push(format!("writes {found:?}, {usual:?} without a crash"));
        }
        if self.puts_with_effect() > clean.puts_with_effect() {
            complaints.push(format!(
                "the credential was written again: {:?}",
                self.azure
            ));
        }
        let settled = restarted + SETTLE_TIME;
        let mut after = self.azure.iter().filter(|it| it.started >= restarted);
        if crash.unsettled && after.any(|write| write.started < settled) {
            complaints.push(format!(
                "written within {SETTLE_TIME:?} after the restart at {restarted}, though an earlier write may still have \
                 been under way: {:?}",
                self.azure
            ));
        }
        let name = crash.name();
        complaints
            .into_iter()
            .map(|complaint| format!("{name}: {complaint}"))
            .collect()
    }

    fn puts_with_effect(&self) -> usize {
        let puts = self
            .azure
            .iter()
            .filter(|it| it.operation.ends_with("CreateOrUpdate"));
        puts.filter(|it| it.effective).count()
    }
}

/// How often a write may be made again by an operator that cannot know whether it was.
fn more_after_a_crash(kind: &str) -> usize {
    match kind {
        // What was recorded, and what came of it.
        "PUT workloadidentitybindings/orders/status" => 2,
        // The same once more, and that it waits for what may be under way.
        "events" => 2,
        // The finalizer is seen.
        "PATCH workloadidentitybindings/orders" => 0,
        _ => 1,
    }
}

fn accepted(calls: &[CallRecord], case: &Case) -> BTreeMap<String, usize> {
    let accepted: Vec<_> = calls[case.mark.calls..]
        .iter()
        .filter(|call| call.is_accepted())
        .cloned()
        .collect();
    let mut counts = BTreeMap::new();
    for point in writes(&accepted, case.shop.name()) {
        let kind = match point.call {
            // One that a process tells again is a patch of the one before.
            Call::Kubernetes(_, "events" | "events/*") => "events".to_owned(),
            Call::Kubernetes(method, path) => format!("{method} {path}"),
            Call::Azure(_) => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

fn is_write(request: &RequestRecord) -> bool {
    request.method != "GET"
}

/// The calls of the operator in this case at which it is not killed: a write is told from the others of its kind, of
/// reads one stands for all.
pub(crate) async fn uncovered(
    stage: &Stage,
    case: &Case,
    points: &[Point<'_>],
) -> anyhow::Result<Vec<String>> {
    let calls = stage.proxy.calls();
    let all = stage.requests(&[case]).await?.remove(0);
    let (writing, reading): (Vec<_>, Vec<_>) = all.into_iter().partition(is_write);
    // What was refused, as a status from an old view is, changed nothing that a crash could leave half done.
    let mut calls = calls[case.mark.calls..].to_vec();
    calls.retain(CallRecord::is_accepted);
    let writes = writes(&calls, case.shop.name());
    let writes = writes.into_iter().chain(requests(&writing));
    let missing = writes.filter(|write| !points.contains(write));
    let reads = requests(&reading);
    let unread = reads
        .iter()
        .filter(|read| !points.iter().any(|point| point.call == read.call));
    let all = missing.chain(unread.copied());
    Ok(all.map(|point| point.to_string()).collect())
}
