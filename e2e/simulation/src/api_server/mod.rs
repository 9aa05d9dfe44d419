//! The API server as one process of the operator reaches it: over a connection that takes time and dies with the process.

mod leases;

use std::time::Duration;

use azwib_operator::binding::controller::PAGE;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};

use crate::disturbances::Refused;
use crate::kubernetes::{Call, Change, Cluster, Key, Kind, Refusal};
use crate::process::Process;

/// How long a watch lasts.
const WATCH_LASTS: Duration = Duration::from_secs(290);

/// How long a write takes whose admission webhook hangs.
const SLOW_WRITE: Duration = Duration::from_secs(20);

/// The API server, for one process.
#[derive(Debug, Clone)]
pub struct ApiServer {
    pub cluster: Cluster,
    pub process: Process,
}

type Frames = StreamBody<BoxStream<'static, Result<http_body::Frame<Bytes>, std::io::Error>>>;

impl tower::Service<Request<Body>> for ApiServer {
    type Response = Response<Frames>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = Self {
            process: self.process.sending(),
            ..self.clone()
        };
        server.answer(request).boxed()
    }
}

/// What a path asks for.
enum Target {
    All(Kind),
    One(Key, bool),
    Event(String),
}

fn target(path: &str) -> Option<Target> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let kinds = [Kind::Binding, Kind::Account, Kind::Grant, Kind::Namespace];
    let kind = |resource: &str| kinds.into_iter().find(|kind| kind.resource() == resource);
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return None,
    };
    match *rest {
        ["namespaces", namespace, "events", ..] => Some(Target::Event(namespace.to_owned())),
        ["namespaces", name] => Some(Target::One(Key::new(Kind::Namespace, "", name), false)),
        ["identitygrants", name, "status"] => {
            Some(Target::One(Key::new(Kind::Grant, "", name), true))
        }
        ["namespaces", namespace, resource, name] => Some(Target::One(
            Key::new(kind(resource)?, namespace, name),
            false,
        )),
        ["namespaces", namespace, resource, name, "status"] => Some(Target::One(
            Key::new(kind(resource)?, namespace, name),
            true,
        )),
        [resource] => Some(Target::All(kind(resource)?)),
        _ => None,
    }
}

impl ApiServer {
    /// What comes of a call for the process that has made it.
    async fn answer(self, request: Request<Body>) -> Result<Response<Frames>, std::io::Error> {
        let machine = &self.process.machine;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_about_leases = path.contains("/leases");
        if method != Method::GET && !is_about_leases && !path.contains("/events") {
            let (shared, caller) = (&self.process.shared, &self.process.caller());
            shared.tell(|it| it.write_sent(shared, caller, &format!("{method} {path}")));
        }
        if machine.is_cut_off() {
            return Err(self.process.unreachable().await);
        }
        let answer = self.carried(request).await;
        if machine.is_cut_off() {
            return Err(self.process.unreachable().await);
        }
        answer
    }

    async fn carried(&self, request: Request<Body>) -> Result<Response<Frames>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key == name).then(|| value.to_owned())
            })
        };
        if head.uri.path().contains("/leases") {
            let asked = (head.uri.path(), query.as_str());
            return Ok(self.leases(&head.method, asked, body).await);
        }
        let Some(target) = target(head.uri.path()) else {
            return Ok(refused(&Refusal::new(404, "NotFound", "no such path")));
        };
        let kind = match target {
            Target::All(kind) => kind,
            target => {
                return Ok(self
                    .one(&head.method, head.uri.path(), &head.headers, target, &body)
                    .await);
            }
        };
        if parameter("watch").is_some() {
            let after = parameter("resourceVersion").and_then(|it| it.parse().ok());
            self.process.shared.sleep(1..=6).await;
            self.process.stay_if_dead().await;
            let (shared, caller) = (&self.process.shared, &self.process.caller());
            shared.tell(|it| it.watch_opened(shared, caller, kind));
            if self.process.shared.watches_end_at_once() {
                self.process.shared.count("watch ends at once");
                return Ok(Response::new(StreamBody::new(stream::empty().boxed())));
            }
            return Ok(self.watch(kind, after.unwrap_or(0)));
        }
        self.process.travel("LIST", head.uri.path()).await;
        // A watch begins with pages of this size. Who lists otherwise asks for what is true now.
        let newest = self.cluster.version();
        let begins_watch = parameter("limit") == Some(PAGE.to_string());
        let version = if begins_watch {
            self.process.list_version(kind, newest)
        } else {
            newest
        };
        let items = self.cluster.at_version(kind, version);
        let (api_version, name) = kind.type_();
        self.process.arrive("LIST", head.uri.path()).await;
        self.process.shown(kind, version);
        Ok(whole(
            StatusCode::OK,
            &json!({
                "apiVersion": api_version, "kind": format!("{name}List"),
                "metadata": { "resourceVersion": version.to_string() }, "items": items,
            }),
        ))
    }

    async fn one(
        &self,
        method: &Method,
        path: &str,
        headers: &http::HeaderMap,
        target: Target,
        body: &Value,
    ) -> Response<Frames> {
        self.process.travel(method.as_str(), path).await;
        let type_ = headers.get("content-type").and_then(|it| it.to_str().ok());
        let outcome = match target {
            Target::Event(namespace) => self.event(&namespace, body),
            Target::All(_) => Err(Refusal::new(405, "MethodNotAllowed", "not here")),
            Target::One(key, status) => {
                if *method != Method::GET && self.process.shared.is_slow(&key.namespace) {
                    let (shared, caller) = (&self.process.shared, &self.process.caller());
                    shared.tell(|it| it.slow_write_began(shared, caller, &key.namespace));
                    tokio::time::sleep(SLOW_WRITE).await;
                    shared.tell(|it| it.slow_write_ended(shared, caller));
                    self.process.stay_if_dead().await;
                }
                let outcome = match self.refusal_by_admission(method, &key, status) {
                    Some(refusal) => Err(refusal),
                    None => self.carry_out(method, type_, &key, status, body),
                };
                self.process.called(&Call {
                    method,
                    key: &key,
                    is_status: status,
                    outcome: &outcome,
                });
                outcome
            }
        };
        self.process.arrive(method.as_str(), path).await;
        match outcome {
            Ok(object) => whole(StatusCode::OK, &object),
            Err(refusal) => refused(&refusal),
        }
    }

    fn carry_out(
        &self,
        method: &Method,
        type_: Option<&str>,
        key: &Key,
        status: bool,
        body: &Value,
    ) -> Result<Value, Refusal> {
        match (method, status) {
            (&Method::GET, _) => self.cluster.get(key).ok_or_else(|| Refusal::not_found(key)),
            (&Method::PUT, true) => self.cluster.replace_status(key, body),
            (&Method::PATCH, false) if type_ == Some("application/merge-patch+json") => {
                self.cluster.merge_finalizers(key, body)
            }
            (&Method::PATCH, true) => self.cluster.apply_status(key, body),
            (&Method::PATCH, _) if type_.is_some_and(|it| it.contains("apply-patch")) => {
                self.cluster.apply(key, body)
            }
            _ => Err(Refusal::new(405, "MethodNotAllowed", "not here")),
        }
    }

    /// What a policy of the cluster has against a write.
    fn refusal_by_admission(&self, method: &Method, key: &Key, status: bool) -> Option<Refusal> {
        let (refused, what) = match (method, key.kind, status) {
            (&Method::PUT, Kind::Binding, true) => (Refused::Statuses, "status"),
            (&Method::PATCH, Kind::Binding, false) => (Refused::Finalizers, "finalizer"),
            (&Method::PATCH, Kind::Account, _) => (Refused::Accounts, "account"),
            _ => return None,
        };
        let shared = &self.process.shared;
        let code = shared.refusal_of(&key.namespace, refused)?;
        shared.count(format!("admission refuses {what}"));
        let message = match code {
            500 => "Internal error occurred: failed calling webhook \"w\": connection refused",
            409 => "admission webhook \"w\" denied the request: the object has been modified",
            _ => "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no",
        };
        Some(Refusal::new(code, "Invalid", message))
    }

    fn event(&self, namespace: &str, body: &Value) -> Result<Value, Refusal> {
        let key = Key::new(Kind::Namespace, "", namespace);
        let going = self.cluster.get(&key);
        if going.is_some_and(|it| it["metadata"]["deletionTimestamp"].is_string()) {
            return Err(Refusal {
                cause: Some("NamespaceTerminating"),
                ..Refusal::new(403, "Forbidden", "the namespace is being terminated")
            });
        }
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        self.process.told(&text("reason"), &text("note"));
        let mut event = body.clone();
        event["apiVersion"] = json!("events.k8s.io/v1");
        event["kind"] = json!("Event");
        Ok(event)
    }

    /// Changes as they come, each with a delay of the process's own: its view lags behind.
    fn watch(&self, kind: Kind, after: u64) -> Response<Frames> {
        let (cluster, process) = (self.cluster.clone(), self.process.clone());
        let until = tokio::time::Instant::now() + WATCH_LASTS;
        let lines = stream::unfold(after, move |after| {
            let (cluster, process) = (cluster.clone(), process.clone());
            async move {
                loop {
                    if process.shared.watches_end_at_once() {
                        return None;
                    }
                    let times = cluster.changed().times();
                    let (changes, version) = cluster.changes(kind, after);
                    if changes.is_empty() {
                        let changed = cluster.changed().set_since(times);
                        if tokio::time::timeout_at(until, changed).await.is_err() {
                            return None;
                        }
                        continue;
                    }
                    process.lag(kind).await;
                    process.shown(kind, version);
                    let lines: String = changes.iter().map(line).collect();
                    let frame = http_body::Frame::data(Bytes::from(lines));
                    return Some((Ok(frame), version));
                }
            }
        });
        Response::new(StreamBody::new(lines.boxed()))
    }
}

fn line(change: &Change) -> String {
    format!(
        "{}\n",
        json!({ "type": change.type_, "object": change.object })
    )
}

fn whole(status: StatusCode, body: &Value) -> Response<Frames> {
    let frame = http_body::Frame::data(Bytes::from(body.to_string()));
    let mut response = Response::new(StreamBody::new(stream::iter([Ok(frame)]).boxed()));
    *response.status_mut() = status;
    response
}

fn refused(refusal: &Refusal) -> Response<Frames> {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let causes: Vec<_> = refusal
        .cause
        .iter()
        .map(|cause| json!({ "reason": cause, "message": refusal.message }))
        .collect();
    whole(
        status,
        &json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": refusal.code,
            "reason": refusal.reason, "message": refusal.message, "details": { "causes": causes },
        }),
    )
}
