//! An API server with one binding and its account, which answers one kind of write as a test wants.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A write of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    FinalizerOn,
    FinalizerOff,
    Status,
    Account,
    AccountAtCleanup,
    Event,
}

/// What the API server makes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Code, reason and message of a `Status`, and after how many seconds it asks to come back.
    Refuses(u16, &'static str, &'static str, Option<u32>),
    /// It takes it and stores something else, as an admission policy has it.
    Alters,
    /// No answer comes.
    IsLost,
}

#[derive(Debug)]
pub(crate) struct State {
    began: Instant,
    pub(crate) binding: Option<Value>,
    pub(crate) account: Option<Value>,
    answered: (Write, Answer),
    /// When the write in question was made.
    pub(crate) made: Vec<Duration>,
    /// Events: when, reason and note.
    pub(crate) events: Vec<(Duration, String, String)>,
    /// Statuses that were taken: when, and what they say.
    pub(crate) statuses: Vec<(Duration, Value)>,
}

#[derive(Debug, Clone)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

impl ApiServer {
    pub(crate) fn new(binding: Value, account: Option<Value>, answered: (Write, Answer)) -> Self {
        Self(Arc::new(Mutex::new(State {
            began: Instant::now(),
            binding: Some(binding),
            account,
            answered,
            made: vec![],
            events: vec![],
            statuses: vec![],
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                server
                    .state()
                    .answer(&head.method, head.uri.path(), &body)
                    .ok_or_else(|| io::Error::other("the connection is gone"))
            }
        });
        Client::new(service, "default")
    }
}

fn whole(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(code);
    let body = Full::new(Bytes::from(body.to_string()));
    answer.body(body).unwrap_or_default()
}

fn status(
    code: u16,
    reason: &str,
    message: &str,
    retry_after: Option<u32>,
) -> Response<Full<Bytes>> {
    let details = json!({ "retryAfterSeconds": retry_after.unwrap_or_default() });
    whole(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
            "details": details,
        }),
    )
}

impl State {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// None stands for no answer.
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Option<Response<Full<Bytes>>> {
        let write = self.write(method, path, body);
        let (answered, answer) = self.answered;
        let mut alters = false;
        if write == Some(answered) {
            let now = self.now();
            self.made.push(now);
            match answer {
                Answer::IsLost => return None,
                Answer::Refuses(code, reason, message, retry_after) => {
                    return Some(status(code, reason, message, retry_after));
                }
                Answer::Alters => alters = true,
            }
        }
        let found = match write {
            None => self.read(path),
            Some(write) => Some(self.take(write, body, alters)),
        };
        Some(found.map_or_else(
            || status(404, "NotFound", "not found", None),
            |found| whole(200, &found),
        ))
    }

    fn write(&self, method: &Method, path: &str, body: &Value) -> Option<Write> {
        if *method == Method::GET {
            return None;
        }
        let is_going = self
            .binding
            .as_ref()
            .is_some_and(|it| !it["metadata"]["deletionTimestamp"].is_null());
        if path.ends_with("/events") || path.contains("/events/") {
            Some(Write::Event)
        } else if path.ends_with("/status") {
            Some(Write::Status)
        } else if path.contains("/serviceaccounts/") {
            Some(if is_going {
                Write::AccountAtCleanup
            } else {
                Write::Account
            })
        } else {
            let finalizers = &body["metadata"]["finalizers"];
            let is_put_on = finalizers.as_array().is_some_and(|all| !all.is_empty());
            Some(if is_put_on {
                Write::FinalizerOn
            } else {
                Write::FinalizerOff
            })
        }
    }

    fn read(&self, path: &str) -> Option<Value> {
        if path.contains("/workloadidentitybindings/") {
            self.binding.clone()
        } else if path.contains("/serviceaccounts/") {
            self.account.clone()
        } else {
            Some(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }))
        }
    }

    fn take(&mut self, write: Write, body: &Value, alters: bool) -> Value {
        let now = self.now();
        let version = json!(format!("{:?}", Instant::now()));
        let binding = self.binding.get_or_insert_default();
        match write {
            Write::Event => {
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                self.events.push((now, text("reason"), text("note")));
                body.clone()
            }
            Write::Status => {
                binding["status"] = body["status"].clone();
                if alters {
                    binding["status"]["conditions"] = json!([]);
                }
                binding["metadata"]["resourceVersion"] = version;
                self.statuses.push((now, binding["status"].clone()));
                binding.clone()
            }
            Write::FinalizerOn | Write::FinalizerOff => {
                if !alters {
                    binding["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
                }
                binding["metadata"]["resourceVersion"] = version;
                let written = binding.clone();
                let is_gone = write == Write::FinalizerOff && !alters;
                self.binding = self.binding.take().filter(|_| !is_gone);
                written
            }
            Write::Account | Write::AccountAtCleanup => {
                let mut account = body.clone();
                account["metadata"]["uid"] = json!("account");
                account["metadata"]["resourceVersion"] = version;
                if alters {
                    account["metadata"]["annotations"]["azure.workload.identity/client-id"] =
                        json!("of-a-policy");
                    // What is to be there when the binding has gone is not its client id, but its owner.
                    account["metadata"]["ownerReferences"] = json!([]);
                }
                self.account = Some(account.clone());
                account
            }
        }
    }
}
