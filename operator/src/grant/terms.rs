//! One grant: what it says, parsed, and whether it covers what a binding asks for.

use std::collections::BTreeMap;

use azwib_crds::{AzureScope, IdentityGrant, InvalidAzureScope, ManagedIdentityId};
use kube::ResourceExt;

use super::account_names::AccountNames;

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// What a binding asks for, as far as a grant decides about it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    scopes: [AzureScope; 3],
    pub namespace: &'a str,
    /// `None` while the namespace is not known: then only its name counts.
    pub labels: Option<&'a Labels>,
    pub account: &'a str,
}

impl<'a> Request<'a> {
    /// An account of a namespace asks to act as an identity.
    pub fn new(
        identity: &ManagedIdentityId,
        namespace: &'a str,
        labels: Option<&'a Labels>,
        account: &'a str,
    ) -> Self {
        Self {
            scopes: AzureScope::of(identity),
            namespace,
            labels,
            account,
        }
    }

    /// Subscription, resource group and identity: a grant for one of them is for the identity.
    pub fn scopes(&self) -> &[AzureScope; 3] {
        &self.scopes
    }

    /// The identity in its canonical spelling.
    pub fn identity(&self) -> &str {
        let [_, _, identity] = &self.scopes;
        identity.as_str()
    }
}

/// An `IdentityGrant`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub name: String,
    /// In order.
    scopes: Box<[AzureScope]>,
    /// In order.
    namespaces: Box<[String]>,
    /// Empty where the grant has no selector: it then selects no namespace.
    labels: Labels,
    /// `None` for all accounts.
    accounts: Option<AccountNames>,
    /// How many credentials of one identity bindings under it may use.
    pub max_credentials_per_identity: Option<usize>,
    /// Whether bindings under it may say `Retain`.
    pub allow_retain: bool,
}

/// Why a grant that is stored allows nothing. The API server refuses all of this where its definition is up to date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// One of its scopes cannot be read.
    #[error("spec.identities[{at}].scope: {error}")]
    Scope {
        at: usize,
        #[source]
        error: InvalidAzureScope,
    },
    /// It has neither names nor labels of namespaces.
    #[error(
        "spec.namespaces has neither names nor labels; name the namespaces that the grant is for"
    )]
    NoNamespaces,
    /// A lone `*` is no name.
    #[error(
        "spec.serviceAccounts.names has a lone '*'; leave serviceAccounts out to allow all accounts of the namespaces"
    )]
    AllAccounts,
    /// A quota that no credential fits into.
    #[error("spec.maxCredentialsPerIdentity is {0}; it must be at least 1")]
    Quota(i32),
}

impl Grant {
    /// Reads a grant.
    ///
    /// # Errors
    /// Where a part of it cannot be read. Such a grant allows nothing at all: what was meant is not known.
    pub fn parse(grant: &IdentityGrant) -> Result<Self, InvalidGrant> {
        let spec = &grant.spec;
        let scopes = spec.identities.iter().enumerate().map(|(at, it)| {
            AzureScope::parse(&it.scope).map_err(|error| InvalidGrant::Scope { at, error })
        });
        let selector = spec.namespaces.selector.as_ref();
        let labels = selector.map(|it| it.match_labels.clone());
        let accounts = spec.service_accounts.as_ref();
        let quota = |quota: i32| {
            let at_least_one = usize::try_from(quota).ok().filter(|it| *it > 0);
            at_least_one.ok_or(InvalidGrant::Quota(quota))
        };
        let parsed = Self {
            name: grant.name_any(),
            scopes: in_order(scopes.collect::<Result<_, _>>()?),
            namespaces: in_order(spec.namespaces.names.clone()),
            labels: labels.unwrap_or_default(),
            accounts: accounts
                .map(|it| AccountNames::parse(&it.names).ok_or(InvalidGrant::AllAccounts))
                .transpose()?,
            max_credentials_per_identity: spec
                .max_credentials_per_identity
                .map(quota)
                .transpose()?,
            allow_retain: spec.allow_retain,
        };
        if parsed.namespaces.is_empty() && parsed.labels.is_empty() {
            return Err(InvalidGrant::NoNamespaces);
        }
        Ok(parsed)
    }

    /// Whether it allows this.
    pub fn covers(&self, request: &Request<'_>) -> bool {
        request.scopes.iter().any(|it| self.has_scope(it))
            && self.is_for_namespace(request.namespace, request.labels)
            && self.is_for_account(request.account)
    }

    /// Whether it is for this namespace: by its name, or by all the labels that the grant asks for.
    pub fn is_for_namespace(&self, name: &str, labels: Option<&Labels>) -> bool {
        self.names_namespace(name) || labels.is_some_and(|it| self.selects(it))
    }

    fn has_scope(&self, scope: &AzureScope) -> bool {
        self.scopes.binary_search(scope).is_ok()
    }

    fn names_namespace(&self, name: &str) -> bool {
        let found = self.namespaces.binary_search_by(|it| it.as_str().cmp(name));
        found.is_ok()
    }

    fn selects(&self, labels: &Labels) -> bool {
        let carried = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        !self.labels.is_empty() && self.labels.iter().all(carried)
    }

    fn is_for_account(&self, account: &str) -> bool {
        self.accounts.as_ref().is_none_or(|it| it.include(account))
    }

    /// What it is for.
    pub fn scopes(&self) -> impl Iterator<Item = &AzureScope> {
        self.scopes.iter()
    }

    /// The namespaces that it names.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.namespaces.iter()
    }

    /// One of the labels that it asks for: no other namespace can be selected.
    pub(super) fn first_label(&self) -> Option<(&String, &String)> {
        self.labels.first_key_value()
    }
}

/// Each of them once.
fn in_order<T: Ord>(mut list: Vec<T>) -> Box<[T]> {
    list.sort_unstable();
    list.dedup();
    list.into()
}

/// Whether it can make a difference to who asks for this that a grant changes: there was none `before`, or there is none `after`.
pub(super) fn concerns(
    before: Option<&Grant>,
    after: Option<&Grant>,
    request: &Request<'_>,
) -> bool {
    let covered = |grant: Option<&Grant>| grant.is_some_and(|it| it.covers(request));
    match (covered(before), covered(after)) {
        (false, false) => false,
        (true, true) => before.map(terms) != after.map(terms),
        _ => true,
    }
}

/// What counts beside that it covers.
fn terms(grant: &Grant) -> (&str, Option<usize>, bool) {
    let quota = grant.max_credentials_per_identity;
    (&grant.name, quota, grant.allow_retain)
}

#[cfg(test)]
mod tests;
