//! The model of Azure: state and rules. No IO, no wall clock, no randomness but the seed's.
//!
//! A request goes through three phases, so that a driver can put time, other requests or the loss of its caller between them:
//!
//! 1. [`Azure::begin`]: it arrives; caller and permission are checked, obstacles are chosen.
//! 2. [`Azure::take_effect`]: it is validated against the state as it is now, changes it, and gets its answer.
//! 3. [`Azure::end`]: the answer is handed out, or nobody is there to take it.
//!
//! A driver that drops a request after `begin` has changed nothing; one that drops it after `take_effect` has lost an answer.

pub(crate) mod arm;
pub(crate) mod entra;
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

pub use self::entra::IssuerDocuments;
pub use self::fixtures::{FixtureError, NewIdentity};
use self::interference::{Interference, Latency};
use self::phases::LateEffect;
pub use self::phases::{Operation, Outcome};
use self::random::Random;
use self::request_log::RequestLog;
pub use self::signing::SigningKey;
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
