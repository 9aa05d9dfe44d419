//! What the API server answers about the Lease of the replicas.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use http_body_util::StreamBody;
use serde_json::{Value, json};

use super::{ApiServer, Frames, WATCH_LASTS, refused, whole};
use crate::kubernetes::Refusal;
use crate::names::replica_of;

impl ApiServer {
    /// Answers a call. Its answer takes long where the process has a slow way back.
    pub(super) async fn leases(
        &self,
        method: &Method,
        (path, query): (&str, &str),
        body: Value,
    ) -> Response<Frames> {
        if query.contains("watch=") {
            return self.watch_leases(query);
        }
        self.process.travel(method.as_str(), path).await;
        let leases = &self.process.shared.leases;
        let outcome = match *method {
            Method::GET if path.ends_with("/leases") => Ok(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList",
                "metadata": { "resourceVersion": leases.version().to_string() },
                "items": leases.get().into_iter().collect::<Vec<_>>(),
            })),
            Method::GET => {
                let lease = leases.get();
                lease.ok_or_else(|| Refusal::new(404, "NotFound", "no such lease"))
            }
            Method::POST => self.written(leases.create(body)),
            Method::PUT => self.written(leases.replace(body)),
            _ => Err(Refusal::new(405, "MethodNotAllowed", "not here")),
        };
        if *method != Method::GET && self.process.machine.has_slow_lease() {
            self.process.shared.sleep(2_000..=14_000).await;
        }
        self.process.arrive(method.as_str(), path).await;
        match outcome {
            Ok(object) => whole(StatusCode::OK, &object),
            Err(refusal) => refused(&refusal),
        }
    }

    fn written(&self, outcome: Result<Value, Refusal>) -> Result<Value, Refusal> {
        let lease = outcome?;
        let (shared, caller) = (&self.process.shared, &self.process.caller());
        let holder = lease["spec"]["holderIdentity"].as_str();
        let holder = holder.and_then(replica_of);
        shared.tell(|it| it.lease_written(shared, caller, holder));
        Ok(lease)
    }

    fn watch_leases(&self, query: &str) -> Response<Frames> {
        let version = query
            .split('&')
            .find_map(|it| it.strip_prefix("resourceVersion="));
        let after = version.and_then(|it| it.parse().ok()).unwrap_or(0);
        let process = self.process.clone();
        let until = tokio::time::Instant::now() + WATCH_LASTS;
        let lines = stream::unfold(after, move |after| {
            let process = process.clone();
            async move {
                loop {
                    let changed = process.shared.leases.changed();
                    let times = changed.times();
                    let changes = process.shared.leases.changes(after);
                    let Some(version) = changes.last().map(|it| it.version) else {
                        let next = tokio::time::timeout_at(until, changed.set_since(times));
                        if next.await.is_err() {
                            return None;
                        }
                        continue;
                    };
                    process.shared.sleep(1..=30).await;
                    process.machine.is_reachable().await;
                    process.machine.goes_on().await;
                    process.stay_if_dead().await;
                    let line = |it: &crate::kubernetes::LeaseChange| {
                        format!("{}\n", json!({ "type": it.type_, "object": it.lease }))
                    };
                    let lines: String = changes.iter().map(line).collect();
                    let frame = http_body::Frame::data(Bytes::from(lines));
                    return Some((Ok(frame), version));
                }
            }
        });
        Response::new(StreamBody::new(lines.boxed()))
    }
}
