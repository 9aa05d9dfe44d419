//! What a simulation starts from: its tenant, where the services are reached, how the model is set.

use uuid::Uuid;

use super::interference::Latency;
use super::state::ServicePrincipal;
use super::tunables::Tunables;

/// The region of resource groups that are made without one.
pub const DEFAULT_LOCATION: &str = "westeurope";

/// Base URLs of the services, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    arm: String,
    entra: String,
    issuer: String,
}

impl Endpoints {
    /// Takes base URLs; slashes at their ends are dropped.
    pub fn new(arm: &str, entra: &str, issuer: &str) -> Self {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        Self {
            arm: base(arm),
            entra: base(entra),
            issuer: base(issuer),
        }
    }

    /// Resource Manager.
    pub fn arm(&self) -> &str {
        &self.arm
    }

    /// Entra: the authority host.
    pub fn entra(&self) -> &str {
        &self.entra
    }

    /// The host of cluster issuers.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// What a simulation starts from, and returns to on [`super::Azure::reset`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tenant.
    pub tenant: Uuid,
    /// The first subscription.
    pub subscription: Uuid,
    /// Its resource groups.
    pub resource_groups: Vec<String>,
    /// Service principals that own the subscription.
    pub service_principals: Vec<ServicePrincipal>,
    /// Where the services are reached.
    pub endpoints: Endpoints,
    /// Settings of the model.
    pub tunables: Tunables,
    /// How long requests take.
    pub latencies: Vec<Latency>,
    /// The seed of all randomness.
    pub seed: u64,
}

impl Settings {
    /// Nothing but a tenant and a subscription, with what is published or most likely as tunables.
    pub fn new(tenant: Uuid, subscription: Uuid, endpoints: Endpoints) -> Self {
        Self {
            tenant,
            subscription,
            resource_groups: Vec::new(),
            service_principals: Vec::new(),
            endpoints,
            tunables: Tunables::default(),
            latencies: Vec::new(),
            seed: 1,
        }
    }

    /// The audiences of the tokens that Resource Manager takes.
    pub(super) fn resource_manager_audiences(&self) -> Vec<String> {
        let arm = self.endpoints.arm();
        let mut audiences = self.tunables.resource_manager_audiences.clone();
        audiences.extend([format!("{arm}/"), arm.to_owned()]);
        audiences
    }
}
