//! A typed client of the control API.

pub mod api;

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use self::api::{
    Created, CredentialFixture, Fault, Hold, HoldState, HoldStatus, IdentityFixture, Latency,
    LockLevel, NewDenyAssignment, NewIdentity, NewIssuer, NewLock, NewPolicyDenial,
    NewRoleAssignment, NewServicePrincipal, PropagationDelay, RegisteredIssuer, RequestRecord,
    ResourceGroupFixture, Role, RoleAssignment, RuleId, SeenSecret, ServicePrincipalFixture,
    SubscriptionFixture, Tunables,
};

/// A call that did not succeed.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The simulator could not be reached, or what it said could not be read.
    #[error("the control API cannot be reached")]
    Transport(#[from] reqwest::Error),
    /// The simulator refused.
    #[error("the control API answered {status} to {method} {path}: {message}")]
    Refused {
        /// HTTP method.
        method: Method,
        /// Path.
        path: String,
        /// HTTP status.
        status: StatusCode,
        /// Why.
        message: String,
    },
}

type Result<T> = std::result::Result<T, ControlError>;

/// A client of one simulator's control API.
#[derive(Debug, Clone)]
pub struct ControlClient {
    base: String,
    http: Client,
}

impl ControlClient {
    /// A client for the control API at this base URL.
    pub fn new(control_url: &str) -> Self {
        Self {
            base: control_url.trim_end_matches('/').to_owned(),
            http: Client::new(),
        }
    }

    /// Makes a subscription.
    pub async fn create_subscription(&self, fixture: &SubscriptionFixture) -> Result<()> {
        self.command(Method::POST, "/subscriptions", fixture).await
    }

    /// Makes a resource group in the first subscription.
    pub async fn create_resource_group(&self, name: &str) -> Result<()> {
        self.create_resource_group_with(&ResourceGroupFixture {
            subscription_id: None,
            name: name.to_owned(),
            location: None,
        })
        .await
    }

    /// Makes a resource group.
    pub async fn create_resource_group_with(&self, fixture: &ResourceGroupFixture) -> Result<()> {
        self.command(Method::POST, "/resource-groups", fixture)
            .await
    }

    /// Makes a managed identity in the first subscription.
    pub async fn create_identity(&self, resource_group: &str, name: &str) -> Result<NewIdentity> {
        self.create_identity_with(&IdentityFixture {
            subscription_id: None,
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        })
        .await
    }

    /// Makes a managed identity.
    pub async fn create_identity_with(&self, fixture: &IdentityFixture) -> Result<NewIdentity> {
        self.query(Method::POST, "/identities", fixture).await
    }

    /// Deletes a managed identity of the first subscription and makes it anew under the same id.
    pub async fn recreate_identity(&self, resource_group: &str, name: &str) -> Result<NewIdentity> {
        let fixture = IdentityFixture {
            subscription_id: None,
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        };
        self.query(Method::POST, "/identities/recreate", &fixture)
            .await
    }

    /// Puts a credential on a managed identity, past all validation.
    pub async fn put_credential(&self, fixture: &CredentialFixture) -> Result<()> {
        self.command(Method::POST, "/credentials", fixture).await
    }

    /// Makes the service principal of an application; returns its object id.
    pub async fn create_service_principal(
        &self,
        fixture: &ServicePrincipalFixture,
    ) -> Result<Uuid> {
        let made: NewServicePrincipal = self
            .query(Method::POST, "/service-principals", fixture)
            .await?;
        Ok(made.object_id)
    }

    /// Registers a cluster's issuer under a path of its own; returns the issuer's URL.
    pub async fn register_issuer(&self, jwks: Value) -> Result<String> {
        self.register_issuer_with(&NewIssuer { path: None, jwks })
            .await
    }

    /// Registers a cluster's issuer, or replaces its keys; returns the issuer's URL.
    pub async fn register_issuer_with(&self, issuer: &NewIssuer) -> Result<String> {
        let made: RegisteredIssuer = self.query(Method::POST, "/issuers", issuer).await?;
        Ok(made.issuer)
    }

    /// Gives a principal (by object id or client id) a role; returns the assignment's id.
    pub async fn assign_role(&self, scope: &str, role: Role, principal: Uuid) -> Result<Uuid> {
        let assignment = NewRoleAssignment {
            scope: scope.to_owned(),
            role,
            principal,
        };
        let made: Created<Uuid> = self
            .query(Method::POST, "/role-assignments", &assignment)
            .await?;
        Ok(made.id)
    }

    /// All role assignments.
    pub async fn role_assignments(&self) -> Result<Vec<RoleAssignment>> {
        self.query(Method::GET, "/role-assignments", &()).await
    }

    /// Takes a role assignment away.
    pub async fn delete_role_assignment(&self, id: Uuid) -> Result<()> {
        self.command(Method::DELETE, &format!("/role-assignments/{id}"), &())
            .await
    }

    /// Takes actions on a scope and below from everybody; returns the deny assignment's id.
    pub async fn assign_denial(&self, scope: &str, actions: &[&str]) -> Result<Uuid> {
        let denial = NewDenyAssignment {
            scope: scope.to_owned(),
            actions: actions.iter().map(ToString::to_string).collect(),
        };
        let made: Created<Uuid> = self
            .query(Method::POST, "/deny-assignments", &denial)
            .await?;
        Ok(made.id)
    }

    /// Takes a deny assignment away.
    pub async fn delete_denial(&self, id: Uuid) -> Result<()> {
        self.command(Method::DELETE, &format!("/deny-assignments/{id}"), &())
            .await
    }

    /// Puts a lock on a scope; returns its id.
    pub async fn lock(&self, scope: &str, level: LockLevel) -> Result<Uuid> {
        let lock = NewLock {
            scope: scope.to_owned(),
            level,
        };
        let made: Created<Uuid> = self.query(Method::POST, "/locks", &lock).await?;
        Ok(made.id)
    }

    /// Takes a lock away.
    pub async fn unlock(&self, id: Uuid) -> Result<()> {
        self.command(Method::DELETE, &format!("/locks/{id}"), &())
            .await
    }

    /// Denies writes of credentials on a scope and below; returns the id of the policy's assignment.
    pub async fn deny_by_policy(&self, scope: &str) -> Result<Uuid> {
        let denial = NewPolicyDenial {
            scope: scope.to_owned(),
        };
        let made: Created<Uuid> = self.query(Method::POST, "/policy-denials", &denial).await?;
        Ok(made.id)
    }

    /// Takes such a policy away.
    pub async fn allow_by_policy(&self, id: Uuid) -> Result<()> {
        self.command(Method::DELETE, &format!("/policy-denials/{id}"), &())
            .await
    }

    /// The request log, in order of arrival.
    pub async fn requests(&self) -> Result<Vec<RequestRecord>> {
        self.query(Method::GET, "/requests", &()).await
    }

    /// Forgets logged requests and seen secrets.
    pub async fn clear_log(&self) -> Result<()> {
        self.command(Method::DELETE, "/requests", &()).await
    }

    /// Every token, assertion and client secret that went over the wire.
    pub async fn secrets(&self) -> Result<Vec<SeenSecret>> {
        self.query(Method::GET, "/secrets", &()).await
    }

    /// Adds a fault.
    pub async fn add_fault(&self, fault: &Fault) -> Result<RuleId> {
        let made: Created<RuleId> = self.query(Method::POST, "/faults", fault).await?;
        Ok(made.id)
    }

    /// Removes a fault.
    pub async fn remove_fault(&self, id: RuleId) -> Result<()> {
        self.command(Method::DELETE, &format!("/faults/{id}"), &())
            .await
    }

    /// Replaces all latencies, the one from the start included.
    pub async fn set_latencies(&self, latencies: &[Latency]) -> Result<()> {
        self.command(Method::PUT, "/latencies", &latencies).await
    }

    /// Sets how many seconds the token endpoint takes to see credentials that are written from now on.
    pub async fn set_propagation_delay(&self, seconds: u64) -> Result<()> {
        self.command(
            Method::PUT,
            "/propagation-delay",
            &PropagationDelay { seconds },
        )
        .await
    }

    /// The settings of the model.
    pub async fn tunables(&self) -> Result<Tunables> {
        self.query(Method::GET, "/tunables", &()).await
    }

    /// Replaces the settings of the model.
    pub async fn set_tunables(&self, tunables: &Tunables) -> Result<()> {
        self.command(Method::PUT, "/tunables", tunables).await
    }

    /// Adds a hold.
    pub async fn add_hold(&self, hold: &Hold) -> Result<RuleId> {
        let made: Created<RuleId> = self.query(Method::POST, "/holds", hold).await?;
        Ok(made.id)
    }

    /// Waits until a request is held, at most so long (60 s), and says where the hold stands.
    pub async fn wait_for_hold(&self, id: RuleId, timeout: Duration) -> Result<HoldState> {
        let path = format!("/holds/{id}?waitSeconds={}", timeout.as_secs());
        let status: HoldStatus = self.query(Method::GET, &path, &()).await?;
        Ok(status.state)
    }

    /// Lets a held request go; one that has not come yet will pass.
    pub async fn release_hold(&self, id: RuleId) -> Result<HoldState> {
        let path = format!("/holds/{id}/release");
        let status: HoldStatus = self.query(Method::POST, &path, &()).await?;
        Ok(status.state)
    }

    /// Returns the simulator to its beginning; held requests are let go.
    pub async fn reset(&self) -> Result<()> {
        self.command(Method::POST, "/reset", &()).await
    }

    async fn query<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        Ok(self.send(method, path, body).await?.json().await?)
    }

    async fn command(&self, method: Method, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(method, path, body).await.map(|_| ())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<reqwest::Response> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base));
        if method != Method::GET && method != Method::DELETE {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(ControlError::Refused {
            method,
            path: path.to_owned(),
            status,
            message: response.text().await.unwrap_or_default(),
        })
    }
}
