//! Role-based access control: who may do which action on which scope.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::arm::ids::fold;

/// A role: built in, or a list of actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything except changes to access.
    Contributor,
    /// All reads.
    Reader,
    /// Built-in role `e40ec5ca-96e0-45a2-b4ff-59039f2c2b59`.
    ManagedIdentityContributor,
    /// Built-in role `f1a07417-d97a-45cb-824c-7a7467783830`.
    ManagedIdentityOperator,
    /// A custom role with these actions; `*` stands for any text.
    Custom {
        /// The actions, such as `Microsoft.ManagedIdentity/userAssignedIdentities/read`.
        actions: Vec<String>,
    },
}

impl Role {
    /// Actions and not-actions. Source of the built-in ones: Azure's page of built-in roles.
    fn actions(&self) -> (Vec<&str>, Vec<&str>) {
        match self {
            Self::Owner => (vec!["*"], vec![]),
            Self::Contributor => (
                vec!["*"],
                vec![
                    "Microsoft.Authorization/*/Delete",
                    "Microsoft.Authorization/*/Write",
                    "Microsoft.Authorization/elevateAccess/Action",
                ],
            ),
            Self::Reader => (vec!["*/read"], vec![]),
            Self::ManagedIdentityContributor => (
                vec![
                    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/write",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
                    "Microsoft.Authorization/*/read",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                ],
                vec![],
            ),
            Self::ManagedIdentityOperator => (
                vec![
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
                    "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
                    "Microsoft.Authorization/*/read",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                ],
                vec![],
            ),
            Self::Custom { actions } => (actions.iter().map(String::as_str).collect(), vec![]),
        }
    }

    fn allows(&self, action: &str) -> bool {
        let (actions, not_actions) = self.actions();
        let matches = |patterns: &[&str]| patterns.iter().any(|p| action_matches(p, action));
        matches(&actions) && !matches(&not_actions)
    }
}

/// Whether an action pattern covers an action. Without case; `*` is any text, and `a/*/read` covers `a/read` too
/// (otherwise Managed Identity Operator could not read an identity, which it is documented to do).
fn action_matches(pattern: &str, action: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'/', b'*', b'/', rest @ ..]
                if text.first() == Some(&b'/') && matches(rest, &text[1..]) =>
            {
                true
            }
            [b'*', rest @ ..] => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            [first, rest @ ..] => text.first() == Some(first) && matches(rest, &text[1..]),
        }
    }
    matches(
        pattern.to_ascii_lowercase().as_bytes(),
        action.to_ascii_lowercase().as_bytes(),
    )
}

/// A role of a principal on a scope and all that is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    /// Its id.
    pub id: Uuid,
    /// ARM id of a subscription, a resource group or a resource.
    pub scope: String,
    /// The role.
    pub role: Role,
    /// Object id of the service principal.
    pub principal_id: Uuid,
}

/// What no role allows on a scope and all that is below it, to nobody: those that Azure makes, for deployment stacks and
/// managed applications, exclude only who has made them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenyAssignment {
    /// Its id.
    pub id: Uuid,
    /// ARM id of a subscription, a resource group or a resource.
    pub scope: String,
    /// The actions; `*` stands for any text.
    pub actions: Vec<String>,
}

/// A role assignment and the time in which it counts.
#[derive(Debug, Clone)]
struct RoleGrant {
    assignment: RoleAssignment,
    from: Timestamp,
    /// Set once it was taken away.
    until: Option<Timestamp>,
}

impl RoleGrant {
    fn counts(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// Whether a scope is another one or above it.
pub(crate) fn covers(scope: &str, other: &str) -> bool {
    let (own, asked) = (normalized(scope), normalized(other));
    asked
        .strip_prefix(&own)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn normalized(scope: &str) -> String {
    fold(scope.trim_end_matches('/'))
}

/// All role assignments, those that were taken away included.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoleGrants(Vec<RoleGrant>);

impl RoleGrants {
    /// Adds one that counts from a moment on.
    pub(crate) fn add(&mut self, assignment: RoleAssignment, from: Timestamp) {
        self.0.push(RoleGrant {
            assignment,
            from,
            until: None,
        });
    }

    /// Takes one away, which counts from a moment on; whether it was there.
    pub(crate) fn revoke(&mut self, id: Uuid, until: Timestamp) -> bool {
        let mut grants = self.0.iter_mut();
        let grant = grants.find(|grant| grant.assignment.id == id && grant.until.is_none());
        let was_there = grant.is_some();
        if let Some(grant) = grant {
            grant.until = Some(until);
        }
        was_there
    }

    /// Those that were not taken away.
    pub(crate) fn assignments(&self) -> impl Iterator<Item = &RoleAssignment> {
        let grants = self.0.iter().filter(|grant| grant.until.is_none());
        grants.map(|grant| &grant.assignment)
    }

    /// Whether a principal has a role that allows an action on a scope.
    pub(crate) fn allow(
        &self,
        principal_id: Uuid,
        action: &str,
        scope: &str,
        now: Timestamp,
    ) -> bool {
        self.0.iter().any(|grant| {
            let assignment = &grant.assignment;
            assignment.principal_id == principal_id
                && grant.counts(now)
                && covers(&assignment.scope, scope)
                && assignment.role.allows(action)
        })
    }

    /// Whether a principal has any role on a subscription or below it; such subscriptions are listed for it.
    pub(crate) fn show_subscription(
        &self,
        principal_id: Uuid,
        subscription: Uuid,
        now: Timestamp,
    ) -> bool {
        let root = format!("/subscriptions/{subscription}");
        self.0.iter().any(|grant| {
            grant.assignment.principal_id == principal_id
                && grant.counts(now)
                && covers(&root, &grant.assignment.scope)
        })
    }
}

/// All deny assignments.
#[derive(Debug, Clone, Default)]
pub(crate) struct DenyAssignments(Vec<DenyAssignment>);

impl DenyAssignments {
    /// Adds one.
    pub(crate) fn add(&mut self, denial: DenyAssignment) {
        self.0.push(denial);
    }

    /// Takes one away; whether it was there.
    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        let before = self.0.len();
        self.0.retain(|denial| denial.id != id);
        self.0.len() < before
    }

    /// Them, in the order in which they were made.
    pub(crate) fn as_slice(&self) -> &[DenyAssignment] {
        &self.0
    }

    /// The one that takes an action on a scope from everybody.
    pub(crate) fn against(&self, action: &str, scope: &str) -> Option<&DenyAssignment> {
        self.0.iter().find(|denial| {
            let mut actions = denial.actions.iter();
            covers(&denial.scope, scope) && actions.any(|it| action_matches(it, action))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_patterns_match_as_azure_documents_them() {
        let read = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
        let credential_read =
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read";
        let credential_write =
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";
        for (role, action, allowed) in [
            (Role::Owner, credential_write, true),
            (Role::Contributor, credential_write, true),
            (
                Role::Contributor,
                "Microsoft.Authorization/roleAssignments/write",
                false,
            ),
            (Role::Reader, credential_read, true),
            (Role::Reader, credential_write, false),
            (Role::ManagedIdentityContributor, credential_write, true),
            (Role::ManagedIdentityOperator, read, true),
            (Role::ManagedIdentityOperator, credential_read, true),
            (Role::ManagedIdentityOperator, credential_write, false),
            (
                Role::Custom {
                    actions: vec![credential_write.to_uppercase()],
                },
                credential_write,
                true,
            ),
        ] {
            assert_eq!(role.allows(action), allowed, "{role:?} {action}");
        }
    }

    #[test]
    fn a_scope_covers_what_is_below_it_and_no_neighbour_with_the_same_beginning() {
        let scope = "/subscriptions/S/resourceGroups/shop";
        assert!(covers(
            scope,
            "/subscriptions/s/resourcegroups/SHOP/providers/x"
        ));
        assert!(covers(scope, "/subscriptions/s/resourceGroups/shop/"));
        assert!(!covers(scope, "/subscriptions/s/resourceGroups/shop-two"));
        assert!(!covers(scope, "/subscriptions/s"));
    }
}
