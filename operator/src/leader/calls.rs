//! The calls of the API server, each with a deadline.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::place::Place;
use super::timings::Timings;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("somebody else has written the Lease")]
    Conflict,
    #[error("somebody has deleted the Lease since it was read")]
    Gone,
    #[error("the API server did not answer within {0:?}")]
    Deadline(Duration),
    #[error(
        "there is no namespace \"{0}\": create it, or give another one with --leader-election-namespace"
    )]
    NoNamespace(String),
    #[error(
        "the operator may not {verb} leases.coordination.k8s.io in the namespace \"{namespace}\": bind it to the Role \
         azwib-operator-leader-election there (config/rbac/leader_election_role.yaml). The API server says: {message}"
    )]
    Forbidden {
        verb: &'static str,
        namespace: String,
        message: String,
    },
    #[error("the API server refused")]
    Failed(#[source] kube::Error),
}

impl CallError {
    /// Whether somebody else has changed the Lease, so that it has to be read again.
    pub(super) fn is_overtaken(&self) -> bool {
        matches!(self, Self::Conflict | Self::Gone)
    }
}

/// The one Lease.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    leases: Api<Lease>,
    place: Place,
    deadline: Duration,
}

impl Calls {
    pub(super) fn new(client: Client, place: &Place, timings: &Timings) -> Self {
        Self {
            leases: Api::namespaced(client, &place.namespace),
            place: place.clone(),
            deadline: timings.call(),
        }
    }

    /// The name of the Lease.
    pub(super) fn name(&self) -> &str {
        &self.place.name
    }

    /// The Lease as it is now; the API server does not take it from its cache.
    pub(super) async fn get(&self) -> Result<Option<Lease>, CallError> {
        self.within("get", self.leases.get_opt(self.name())).await
    }

    /// Makes the Lease, or replaces the one whose resourceVersion it has. Where the answer is lost it may have happened.
    pub(super) async fn write(&self, lease: &Lease) -> Result<Lease, CallError> {
        let how = PostParams::default();
        match lease.metadata.resource_version {
            None => {
                let made = self.within("create", self.leases.create(&how, lease));
                made.await.map_err(|error| match error {
                    // What is to be made is not missing.
                    CallError::Gone => CallError::NoNamespace(self.place.namespace.clone()),
                    error => error,
                })
            }
            Some(_) => {
                let call = self.leases.replace(self.name(), &how, lease);
                self.within("update", call).await
            }
        }
    }

    async fn within<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, CallError> {
        let answer = timeout(self.deadline, call).await;
        let answer = answer.map_err(|_| CallError::Deadline(self.deadline))?;
        answer.map_err(|error| match &error {
            kube::Error::Api(answer) => match answer.code {
                404 => CallError::Gone,
                409 => CallError::Conflict,
                // As RBAC words it. Quotas, policies and namespaces that go answer 403, too.
                403 if answer.message.contains(" cannot ") => CallError::Forbidden {
                    verb,
                    namespace: self.place.namespace.clone(),
                    message: answer.message.clone(),
                },
                _ => CallError::Failed(error),
            },
            _ => CallError::Failed(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use bytes::Bytes;
    use http_body_util::Full;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// What comes of reading a Lease, making one and replacing one where each call has this answer.
    async fn all(code: u16, reason: &'static str) -> [String; 3] {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
                "message": "User \"system:serviceaccount:ns:sa\" cannot do that",
            });
            let body = Full::new(Bytes::from(status.to_string()));
            let response = Response::builder().status(code).body(body).unwrap();
            Ok::<_, Infallible>(response)
        });
        let place = Place {
            namespace: "ns".to_owned(),
            name: "azwib-operator".to_owned(),
        };
        let calls = Calls::new(Client::new(service, "default"), &place, &Timings::default());
        let mut lease = Lease::default();
        lease.metadata.name = Some(place.name);
        let made = calls.write(&lease).await;
        lease.metadata.resource_version = Some("1".to_owned());
        let replaced = calls.write(&lease).await;
        let said = |it: Result<(), CallError>| {
            it.map_or_else(|error| error.to_string(), |()| String::new())
        };
        [
            said(calls.get().await.map(drop)),
            said(made.map(drop)),
            said(replaced.map(drop)),
        ]
    }

    #[tokio::test]
    async fn what_a_person_has_to_mend_is_named_with_what_to_do() {
        let [get, create, update] = all(403, "Forbidden").await;
        for (said, verb) in [(get, "get"), (create, "create"), (update, "update")] {
            let expected = format!(
                "the operator may not {verb} leases.coordination.k8s.io in the namespace \"ns\": bind it to the Role \
                 azwib-operator-leader-election there (config/rbac/leader_election_role.yaml). The API server says: User \"system:serviceaccount:ns:sa\" cannot do that"
            );
            assert_eq!(said, expected);
        }
        let [get, create, update] = all(404, "NotFound").await;
        assert_eq!(get, "", "there is none");
        assert!(
            create.starts_with("there is no namespace \"ns\""),
            "{create}"
        );
        assert_eq!(update, "somebody has deleted the Lease since it was read");
    }

    #[tokio::test]
    async fn a_conflict_says_that_somebody_else_has_written() {
        let [_, create, update] = all(409, "Conflict").await;
        assert_eq!(
            [&*create, &*update],
            ["somebody else has written the Lease"; 2]
        );
    }
}
