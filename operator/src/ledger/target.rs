//! What a ledger is of: the thing in Azure that one writes to at a time, and the budgets that its requests are charged to.

use azwib_crds::ManagedIdentityId;

/// The kinds of request that have budgets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Get,
    List,
    Put,
    Delete,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Get, Self::List, Self::Put, Self::Delete];

    /// As the metrics of requests have it: the method, and LIST for the GET of a listing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it may change something in Azure.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

/// Whom a budget is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Identity(String),
    Subscription(String),
    Tenant,
}

impl Scope {
    /// The kinds of scope there are.
    pub(super) const KINDS: [&'static str; 3] = ["identity", "subscription", "tenant"];

    /// Which of them it is.
    pub(super) fn kind(&self) -> &'static str {
        let [identity, subscription, tenant] = Self::KINDS;
        match self {
            Self::Identity(_) => identity,
            Self::Subscription(_) => subscription,
            Self::Tenant => tenant,
        }
    }

    /// Requests a second that Microsoft publishes.
    ///
    /// Source: "Considerations" of Microsoft Entra workload identity federation, request limits by tenant, subscription
    /// and resource. That the resource is the identity, not the credential, is assumed: the slower of the two.
    pub(super) fn published(&self, operation: Operation) -> f64 {
        match (self, operation) {
            (Self::Identity(_), Operation::Get) => 0.5,
            (Self::Identity(_), _) => 0.25,
            (Self::Subscription(_), Operation::Get) => 10.0,
            (Self::Subscription(_), Operation::List) => 5.0,
            (Self::Subscription(_), Operation::Put | Operation::Delete) => 2.0,
            (Self::Tenant, Operation::Get) => 30.0,
            (Self::Tenant, Operation::List) => 15.0,
            (Self::Tenant, Operation::Put | Operation::Delete) => 10.0,
        }
    }
}

/// What a ledger is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    key: String,
    subscription: String,
}

impl Target {
    pub(super) fn of(identity: &ManagedIdentityId) -> Self {
        Self {
            key: identity.key().to_owned(),
            subscription: identity.subscription_id().to_ascii_lowercase(),
        }
    }

    /// Names it among all targets.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Names what bounds the requests that may be under way at once, and the line in which they wait: its subscription.
    pub(super) fn group(&self) -> &str {
        &self.subscription
    }

    /// The budget of the target alone.
    pub(super) fn own(&self) -> Scope {
        Scope::Identity(self.key.clone())
    }

    /// The budget that it shares with its group.
    pub(super) fn shared(&self) -> Scope {
        Scope::Subscription(self.subscription.clone())
    }

    /// All budgets that its requests are charged to.
    pub(super) fn scopes(&self) -> [Scope; 3] {
        [self.own(), self.shared(), Scope::Tenant]
    }
}
