//! What Azure remembers: the resource tree, the directory's principals, role assignments, issuers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::locks::{Locks, PolicyDenials};
use super::rbac::{DenyAssignments, RoleGrants};

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// The expression of a flexible federated identity credential (preview API versions only).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimsMatchingExpression {
    /// The expression.
    pub value: String,
    /// The version of the expression's language.
    pub language_version: i64,
}

/// A federated identity credential of a managed identity or of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedCredential {
    /// Its name, in the case in which it was written first.
    pub name: String,
    /// The issuer of the tokens it accepts.
    pub issuer: String,
    /// The subject of the tokens it accepts; absent on a flexible credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The expression of a flexible credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_matching_expression: Option<ClaimsMatchingExpression>,
    /// The audience of the tokens it accepts: a list with one entry.
    pub audiences: Vec<String>,
}

/// A user-assigned managed identity.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name as written.
    pub name: String,
    /// Region, in the form `westeurope`.
    pub location: String,
    /// Its tags.
    pub tags: Tags,
    /// Application (client) id.
    pub client_id: Uuid,
    /// Object id of its service principal.
    pub principal_id: Uuid,
    /// `None` or `Regional`, for API versions that know it.
    pub isolation_scope: Option<String>,
    /// Its credentials by lower-cased name.
    pub credentials: Credentials,
    /// When it was made; absent: in the beginning.
    pub created: Option<Timestamp>,
}

/// Credentials by lower-cased name.
pub type Credentials = BTreeMap<String, FederatedCredential>;

/// A resource group.
#[derive(Debug, Clone)]
pub struct ResourceGroup {
    /// Its name as written.
    pub name: String,
    /// Region.
    pub location: String,
    /// Its tags.
    pub tags: Tags,
    /// Its identities by lower-cased name.
    pub identities: BTreeMap<String, Identity>,
}

/// A subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The name that people see.
    pub display_name: String,
    /// Its resource groups by lower-cased name.
    pub resource_groups: BTreeMap<String, ResourceGroup>,
}

/// A service principal of an application, or the configuration of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipal {
    /// Application (client) id.
    pub client_id: Uuid,
    /// A client secret; without one it signs in by assertion only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A service principal in the directory.
#[derive(Debug, Clone)]
pub struct ApplicationPrincipal {
    /// Object id of the service principal.
    pub object_id: Uuid,
    /// Its client secrets.
    pub secrets: Vec<String>,
    /// The application's federated identity credentials.
    pub credentials: Vec<FederatedCredential>,
}

/// The issuer of a cluster, with the keys it publishes.
#[derive(Debug, Clone)]
pub struct RegisteredIssuer {
    /// The issuer URL, byte for byte as tokens carry it.
    pub issuer: String,
    /// The JSON Web Key Set as registered.
    pub jwks: Value,
}

/// The credentials of one client as the token endpoint sees them from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct CredentialView {
    pub(crate) effective_at: Timestamp,
    pub(crate) credentials: Vec<FederatedCredential>,
}

/// All that Azure remembers.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) subscriptions: BTreeMap<Uuid, Subscription>,
    pub(crate) applications: BTreeMap<Uuid, ApplicationPrincipal>,
    pub(crate) role_grants: RoleGrants,
    pub(crate) deny_assignments: DenyAssignments,
    pub(crate) locks: Locks,
    pub(crate) policy_denials: PolicyDenials,
    /// By path below the issuer's host, without slashes at the ends.
    pub(crate) issuers: BTreeMap<String, RegisteredIssuer>,
    /// By client id, oldest first.
    pub(crate) credential_views: BTreeMap<Uuid, Vec<CredentialView>>,
    /// What reads show while they lag behind writes: by client id, oldest first, each from a moment on.
    pub(crate) read_views: BTreeMap<Uuid, Vec<(Timestamp, Credentials)>>,
    /// What the token endpoint remembers of a client whose exchange failed.
    pub(crate) negative_cache: BTreeMap<Uuid, NegativeEntry>,
}

/// A client's credentials as they were when its exchange failed.
#[derive(Debug, Clone)]
pub(crate) struct NegativeEntry {
    pub(crate) until: Timestamp,
    pub(crate) credentials: Vec<FederatedCredential>,
}

/// A client of the directory that may ask for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) client_id: Uuid,
    pub(crate) object_id: Uuid,
    pub(crate) secrets: Vec<String>,
    /// The ARM id of a managed identity; `None` for an application.
    pub(crate) managed_identity: Option<String>,
}

impl State {
    /// All identities with the ids of their subscription and group.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (Uuid, &ResourceGroup, &Identity)> {
        self.subscriptions.iter().flat_map(|(id, subscription)| {
            subscription
                .resource_groups
                .values()
                .flat_map(move |group| {
                    group
                        .identities
                        .values()
                        .map(move |identity| (*id, group, identity))
                })
        })
    }

    /// The client with this client id.
    pub(crate) fn client(&self, client_id: Uuid) -> Option<Client> {
        if let Some(application) = self.applications.get(&client_id) {
            return Some(Client {
                client_id,
                object_id: application.object_id,
                secrets: application.secrets.clone(),
                managed_identity: None,
            });
        }
        self.identities()
            .find(|(_, _, identity)| identity.client_id == client_id)
            .map(|(subscription, group, identity)| Client {
                client_id,
                object_id: identity.principal_id,
                secrets: Vec::new(),
                managed_identity: Some(super::arm::ids::identity_id(
                    subscription,
                    &group.name,
                    &identity.name,
                )),
            })
    }

    /// The credentials of a client that the token endpoint knows of at `now`.
    pub(crate) fn visible_credentials(
        &self,
        client_id: Uuid,
        now: Timestamp,
    ) -> &[FederatedCredential] {
        self.credential_views
            .get(&client_id)
            .and_then(|views| views.iter().rev().find(|view| view.effective_at <= now))
            .map_or(&[], |view| view.credentials.as_slice())
    }

    /// The object id of a client; an id that no client has is taken for one.
    pub(crate) fn object_id(&self, principal: Uuid) -> Uuid {
        self.client(principal)
            .map_or(principal, |client| client.object_id)
    }

    /// When the newest change that the token endpoint knows of became known, and what it knew before.
    pub(crate) fn former_credentials(
        &self,
        client_id: Uuid,
        now: Timestamp,
    ) -> Option<(Timestamp, &[FederatedCredential])> {
        let views = self.credential_views.get(&client_id)?;
        let mut seen = views.iter().rev().filter(|view| view.effective_at <= now);
        let since = seen.next()?.effective_at;
        let former = seen.next();
        Some((since, former.map_or(&[], |view| &view.credentials)))
    }

    /// The credentials that a read shows.
    pub(crate) fn shown_credentials<'a>(
        &'a self,
        identity: &'a Identity,
        now: Timestamp,
    ) -> &'a Credentials {
        self.read_views
            .get(&identity.client_id)
            .and_then(|views| views.iter().rev().find(|(from, _)| *from <= now))
            .map_or(&identity.credentials, |(_, credentials)| credentials)
    }

    /// Notes that reads show a change from `visible_at` on, and until then what they show now.
    pub(crate) fn lag_reads(
        &mut self,
        client_id: Uuid,
        before: Credentials,
        after: Credentials,
        visible_at: Timestamp,
        now: Timestamp,
    ) {
        let views = self.read_views.entry(client_id).or_default();
        match views.iter().rposition(|(from, _)| *from <= now) {
            Some(shown) => drop(views.drain(..shown)),
            None => views.insert(0, (Timestamp::MIN, before)),
        }
        views.push((visible_at, after));
    }

    /// Notes that a client's credentials changed, for the token endpoint to see at `effective_at`. What it saw before what
    /// it saw last is forgotten.
    pub(crate) fn publish_credentials(
        &mut self,
        client_id: Uuid,
        credentials: Vec<FederatedCredential>,
        effective_at: Timestamp,
        now: Timestamp,
    ) {
        let views = self.credential_views.entry(client_id).or_default();
        let mut seen = (0..views.len()).rev();
        let mut next = || seen.find(|index| views[*index].effective_at <= now);
        if let (Some(_), Some(former)) = (next(), next()) {
            views.drain(..former);
        }
        views.push(CredentialView {
            effective_at,
            credentials,
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn credentials(name: &str) -> Credentials {
        let credential = FederatedCredential {
            name: name.into(),
            issuer: "https://i/".into(),
            subject: Some(name.into()),
            claims_matching_expression: None,
            audiences: vec!["a".into()],
        };
        [(name.to_owned(), credential)].into()
    }

    #[test]
    fn the_token_endpoint_knows_what_has_arrived_and_what_it_knew_before() {
        let client = Uuid::nil();
        let mut state = State::default();
        // Written when, seen when.
        for (name, written, seen) in [("a", 0, 0), ("b", 1, 1), ("late", 2, 100), ("c", 3, 5)] {
            let credentials = credentials(name).into_values().collect();
            state.publish_credentials(client, credentials, at(seen), at(written));
        }
        let name = |credentials: &[FederatedCredential]| {
            let first = credentials.first();
            first.map_or_else(String::new, |credential| credential.name.clone())
        };
        for (now, visible, former, since) in [
            (0, "a", "", 0),
            (1, "b", "a", 1),
            (4, "b", "a", 1),
            (5, "c", "b", 5),
            // What was written later and arrived earlier holds.
            (100, "c", "late", 5),
        ] {
            assert_eq!(name(state.visible_credentials(client, at(now))), visible);
            let (moment, before) = state.former_credentials(client, at(now)).unwrap();
            assert_eq!(
                (moment, name(before).as_str()),
                (at(since), former),
                "{now}"
            );
        }
        state.publish_credentials(client, Vec::new(), at(200), at(199));
        assert!(state.credential_views[&client].len() <= 3);
    }

    #[test]
    fn reads_show_a_change_when_it_is_due_and_until_then_what_they_showed() {
        let identity = Identity {
            name: "orders".into(),
            location: "westeurope".into(),
            tags: Tags::new(),
            client_id: Uuid::nil(),
            principal_id: Uuid::nil(),
            isolation_scope: None,
            credentials: credentials("now"),
            created: None,
        };
        let mut state = State::default();
        // Nothing lags yet.
        assert_eq!(
            state.shown_credentials(&identity, at(0)),
            &credentials("now")
        );
        let client = identity.client_id;
        for (before, after, written, seen) in [("a", "b", 0, 10), ("b", "c", 5, 15)] {
            let (before, after) = (credentials(before), credentials(after));
            state.lag_reads(client, before, after, at(seen), at(written));
        }
        for (now, shown) in [(0, "a"), (9, "a"), (10, "b"), (14, "b"), (15, "c")] {
            let expected = credentials(shown);
            let credentials = state.shown_credentials(&identity, at(now));
            assert_eq!(credentials, &expected, "{now}");
        }
    }
}
