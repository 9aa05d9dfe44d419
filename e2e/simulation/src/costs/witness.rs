//! What is noted of what happens.

use std::sync::Arc;

use azure_simulator::core::http::{Request, Service};
use http::Method;
use serde_json::Value;

use super::log::{Concerns, Costs, What};
use crate::caller::Caller;
use crate::kubernetes::{Call, Key, Kind};
use crate::requests::{Answered, credential_of, identity_of, operation};
use crate::shared::{Shared, Witness};

/// Reasons of those who wait for somebody else.
const WAITING: [&str; 3] = [
    "CredentialLimitReached",
    "WaitingForTurn",
    "ServiceAccountConflict",
];

impl Witness for Costs {
    fn process_began(&self, shared: &Shared, process: &Caller) {
        if process.number > 1 {
            self.fault(shared, Concerns::Everybody);
        }
    }

    fn called(&self, shared: &Shared, _: &Caller, call: &Call<'_>) {
        if *call.method == Method::GET {
            return;
        }
        match call.outcome {
            Ok(object) => self.written(shared, call, object),
            Err(_) => {
                let (namespace, name) = (call.key.namespace.clone(), call.key.name.clone());
                let concerns = match call.key.kind {
                    Kind::Account => Concerns::Account(namespace, name),
                    _ => Concerns::Binding(namespace, name),
                };
                self.fault(shared, concerns);
            }
        }
    }

    fn request_sent(&self, shared: &Shared, _: &Caller, request: &Request) {
        if request.service != Service::ResourceManager {
            return;
        }
        if let Some(name) = credential_of(request) {
            let what = What::Request(identity_of(request), name, operation(request));
            self.note(shared, what);
        }
    }

    fn request_answered(&self, shared: &Shared, _: &Caller, answered: &Answered<'_>) {
        let Answered {
            request,
            disturbed,
            answer,
        } = *answered;
        let status = answer.map(|it| it.status.as_u16());
        let credential = credential_of(request);
        let not_there = status == Some(404) && operation(request) == "GET" && credential.is_some();
        let well = answer.is_some_and(|it| it.status.is_success()) || not_there;
        if well && !disturbed {
            return;
        }
        let identity = identity_of(request);
        let what = match credential {
            _ if request.service == Service::Entra || status == Some(429) => {
                What::Fault(Concerns::Everybody)
            }
            Some(name) => What::Fault(Concerns::Credential(identity, name)),
            None => What::SharedRead(identity),
        };
        self.note(shared, what);
    }

    fn quiet_began(&self, shared: &Shared) {
        self.log().quiet_since = Some(shared.cluster.version());
    }

    fn azure_disturbed(&self, shared: &Shared, identity: Option<&str>) {
        let identity = identity.map(str::to_ascii_lowercase);
        self.note(shared, What::Change(identity));
    }

    fn account_edited(&self, shared: &Shared, account: &Key) {
        let concerns = Concerns::Account(account.namespace.clone(), account.name.clone());
        self.fault(shared, concerns);
    }

    fn account_policy_changed(&self, shared: &Shared) {
        self.fault(shared, Concerns::Everybody);
    }

    fn status_put(&self, shared: &Arc<Shared>, _: &Key, before: &Value, _: &Value) {
        self.put_by_others(shared, before);
    }

    fn status_times_put(&self, shared: &Shared, binding: &Value) {
        self.put_by_others(shared, binding);
    }

    fn restored(&self, shared: &Shared, binding: &Value) {
        self.put_by_others(shared, binding);
    }
}

impl Costs {
    /// A write to the API server was accepted; `object` is what came of it.
    fn written(&self, shared: &Shared, call: &Call<'_>, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = |name: &str| text(&object["metadata"][name]);
        let what = match call.key.kind {
            Kind::Account => What::Account(field("namespace"), field("name")),
            _ if call.is_status => What::Status(field("uid")),
            _ => What::Finalizer(field("namespace"), field("name")),
        };
        self.note(shared, what);
        let reason = text(&object["status"]["conditions"][0]["reason"]);
        if call.is_status && WAITING.contains(&reason.as_str()) {
            let whose = format!("{}/{}", call.key.namespace, call.key.name);
            self.log().waited.insert(whose);
        }
    }

    /// Somebody else has written the status of a binding: what it costs to put it right is what a change costs.
    fn put_by_others(&self, shared: &Shared, binding: &Value) {
        let uid = binding["metadata"]["uid"].as_str().unwrap_or_default();
        let version = shared.cluster.version();
        self.log().put.push((uid.to_owned(), version));
    }
}
