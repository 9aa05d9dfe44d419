//! The model of Azure: state and rules. No IO, no wall clock, no randomness but the seed's.
//!
//! A request goes through three phases, so that a driver can put time, other requests or the loss of its caller between them:
//!
//! 1. [`Azure::begin`]: it arrives; caller and permission are checked, obstacles are chosen.
//! 2. [`Azure::take_effect`]: it is validated against the state as it is now, changes it, and gets its answer.
//! 3. [`Azure::end`]: the answer is handed out, or nobody is there to take it.
//!
//! A driver that drops a request after `begin` has changed nothing; one that drops it after `take_effect` has lost an answer.
//! Every request that has begun must end, whatever became of it: until then it is under way, and a write of a credential keeps
//! other writes from its identity.
//!
//! # Driving it directly
//!
//! A simulation keeps its own clock, calls the phases when they are due ([`Operation::effect_at`], [`Outcome::at`]), and drops a
//! caller where it wants to. Two runs with one seed, and the same calls at the same times, are the same.
//!
//! ```
//! use azure_simulator::Tunables;
//! use azure_simulator::core::http::{Answer, Request, Service};
//! use azure_simulator::core::interference::{FaultAction, When};
//! use azure_simulator::core::throttle::Throttling;
//! use azure_simulator::core::{Azure, Endpoints, Settings, SigningKey};
//! use azure_simulator::ServicePrincipal;
//! use jiff::{SignedDuration, Timestamp};
//! use uuid::Uuid;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (subscription, client) = (Uuid::from_u128(2), Uuid::from_u128(3));
//! let settings = Settings {
//!     resource_groups: vec!["shop".into()],
//!     // It owns the subscription.
//!     service_principals: vec![ServicePrincipal { client_id: client, secret: None }],
//!     tunables: Tunables { throttling: Some(Throttling::default()), ..Tunables::default() },
//!     seed: 7,
//!     ..Settings::new(Uuid::from_u128(1), subscription, Endpoints::new("https://arm", "https://entra", "https://issuer"))
//! };
//! // One key serves all seeds: making one takes a moment.
//! let mut azure = Azure::new(settings, SigningKey::generate()?);
//! let mut now: Timestamp = "2026-01-01T12:00:00Z".parse()?;
//! let id = azure.create_identity(subscription, "shop", "orders")?.id;
//! let token = azure.issue_token(client, SignedDuration::from_hours(24), now)?;
//!
//! let put = Request::new(Service::ResourceManager, "PUT", &format!("{id}/federatedIdentityCredentials/shop-orders"))
//!     .with_query("api-version=2023-01-31")
//!     .with_header("authorization", &format!("Bearer {token}"))
//!     .with_body(r#"{"properties": {"issuer": "https://i/", "subject": "s", "audiences": ["a"]}}"#);
//!
//! // A request that goes well.
//! let mut operation = azure.begin(put.clone(), now);
//! now = operation.effect_at();
//! let outcome = azure.take_effect(&mut operation, now);
//! now = outcome.at;
//! azure.end(operation.id(), outcome.answer.response(), now);
//! assert_eq!(outcome.answer.response().map(|response| response.status.as_u16()), Some(201));
//!
//! // One that the published limits refuse: a write every four seconds for an identity.
//! let mut operation = azure.begin(put.clone(), now);
//! let outcome = azure.take_effect(&mut operation, now);
//! azure.end(operation.id(), outcome.answer.response(), now);
//! assert!(azure.request(operation.id()).is_some_and(|record| record.throttled_by.is_some()));
//!
//! // One whose answer is lost and which takes effect half a minute later.
//! now += SignedDuration::from_secs(4);
//! let late = FaultAction::LateEffect { milliseconds: 30_000, keeps_turn: false, keeps_connection: false };
//! let mut operation = azure.begin_with(put, Some((When::BeforeEffect, late)), now);
//! let outcome = azure.take_effect(&mut operation, now);
//! assert!(matches!(outcome.answer, Answer::ConnectionDropped));
//! azure.end(operation.id(), None, now);
//! azure.advance(now + SignedDuration::from_secs(30));
//!
//! // What there is, and what happened, for an oracle.
//! assert_eq!(azure.identity(&id).map(|identity| identity.credentials.len()), Some(1));
//! let record = azure.request(operation.id()).ok_or("no record")?;
//! assert_eq!(record.effect, Some(record.started + SignedDuration::from_secs(30)));
//! # Ok(())
//! # }
//! ```

mod access;
pub(crate) mod arm;
pub(crate) mod entra;
mod faults;
mod fixtures;
pub mod http;
mod inspection;
pub mod interference;
mod issuer;
pub mod locks;
mod phases;
mod random;
pub mod rbac;
pub mod request_log;
pub mod signing;
pub mod state;
pub mod throttle;
pub mod tunables;
mod writes;

use uuid::Uuid;

use self::arm::authentication::VerifiedTokens;
pub use self::entra::IssuerDocuments;
pub use self::fixtures::{FixtureError, NewIdentity};
use self::interference::{Interference, Latency};
use self::phases::LateEffect;
pub use self::phases::{Operation, Outcome};
use self::random::Random;
use self::request_log::RequestLog;
pub use self::signing::{SigningKey, SigningKeyError};
use self::state::{ServicePrincipal, State};
use self::throttle::Throttle;
use self::tunables::Tunables;
use self::writes::Writes;

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

/// What a simulation starts from, and returns to on [`Azure::reset`].
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

    fn resource_manager_audiences(&self) -> Vec<String> {
        let arm = self.endpoints.arm();
        let mut audiences = self.tunables.resource_manager_audiences.clone();
        audiences.extend([format!("{arm}/"), arm.to_owned()]);
        audiences
    }
}

/// A simulated Azure.
#[derive(Debug)]
pub struct Azure {
    /// As started; `reset` returns to it.
    initial: Settings,
    settings: Settings,
    signing_key: SigningKey,
    verified_tokens: VerifiedTokens,
    state: State,
    /// For the ids of what is made: requests do not change them.
    random: Random,
    /// For all that differs from request to request.
    request_random: Random,
    interference: Interference,
    throttle: Throttle,
    writes: Writes,
    /// By the time they are due.
    late_effects: Vec<LateEffect>,
    /// Late writes that keep others from the identity until they have taken effect.
    kept_turns: Vec<u64>,
    log: RequestLog,
}

impl Azure {
    /// A fresh Azure.
    pub fn new(settings: Settings, signing_key: SigningKey) -> Self {
        let mut azure = Self {
            initial: settings.clone(),
            random: Random::new(settings.seed),
            request_random: Random::new(settings.seed.wrapping_add(1)),
            settings,
            signing_key,
            verified_tokens: VerifiedTokens::default(),
            state: State::default(),
            interference: Interference::default(),
            throttle: Throttle::default(),
            writes: Writes::default(),
            late_effects: Vec::new(),
            kept_turns: Vec::new(),
            log: RequestLog::default(),
        };
        azure.make_initial_fixtures();
        azure
    }

    /// Returns to the beginning: state, settings, rules, log.
    pub fn reset(&mut self) {
        self.settings = self.initial.clone();
        self.state = State::default();
        self.random = Random::new(self.settings.seed);
        self.request_random = Random::new(self.settings.seed.wrapping_add(1));
        self.interference.clear();
        self.throttle = Throttle::default();
        self.writes.clear();
        self.late_effects.clear();
        self.kept_turns.clear();
        self.log.clear();
        self.make_initial_fixtures();
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings of the model.
    pub fn set_tunables(&mut self, tunables: Tunables) {
        self.settings.tunables = tunables;
    }
}
