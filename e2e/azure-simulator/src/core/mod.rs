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
pub mod interference;
mod issuer;
mod random;
pub mod rbac;
pub mod request_log;
pub mod signing;
pub mod state;
pub mod tunables;

use jiff::Timestamp;
use uuid::Uuid;

use self::arm::error::ArmResult;
pub use self::entra::IssuerDocuments;
pub use self::fixtures::{FixtureError, NewIdentity};
use self::http::{Answer, Request, Response, Service};
use self::interference::{Facts, FaultAction, Interference, Latency, Obstacles, When};
use self::random::Random;
use self::request_log::{RequestLog, RequestRecord, SecretKind};
pub use self::signing::SigningKey;
use self::state::{ServicePrincipal, State};
use self::tunables::Tunables;

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
    log: RequestLog,
}

/// A request that was let in, or refused: the refusal is part of it and handed out in its time.
#[derive(Debug, Clone)]
enum Admitted {
    ResourceManager(ArmResult<arm::Admitted>),
    Entra(entra::AdmittedResult),
    Issuer,
}

/// A request between its phases.
#[derive(Debug)]
pub struct Operation {
    id: u64,
    request: Request,
    admitted: Admitted,
    obstacles: Obstacles,
    issuer_to_fetch: Option<String>,
    documents: Option<Result<IssuerDocuments, String>>,
}

impl Operation {
    /// Its number in the request log.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is in its way.
    pub fn obstacles(&self) -> &Obstacles {
        &self.obstacles
    }

    /// The issuer whose documents the decision needs; give them to [`Operation::provide_issuer_documents`].
    pub fn issuer_to_fetch(&self) -> Option<&str> {
        self.issuer_to_fetch.as_deref()
    }

    /// The documents of the issuer, or why they could not be fetched.
    pub fn provide_issuer_documents(&mut self, documents: Result<IssuerDocuments, String>) {
        self.documents = Some(documents);
    }
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

    /// First phase: a request arrives.
    pub fn begin(&mut self, request: Request, now: Timestamp) -> Operation {
        let operation = match request.service {
            Service::ResourceManager => Self::arm_operation(&request),
            Service::Entra => Self::entra_operation(&request),
            Service::Issuer => Self::issuer_operation(&request),
        };
        let facts = Facts {
            service: request.service,
            method: &request.method,
            path: &request.path,
            operation,
        };
        let obstacles = self.interference.decide(facts, &mut self.request_random);
        let (caller, admitted) = self.admit(&request, now);
        let issuer_to_fetch = match &admitted {
            Admitted::Entra(Ok(entra::Admitted::Token(token))) => token
                .issuer_to_fetch(self.state.visible_credentials(token.client_id(), now))
                .map(str::to_owned),
            _ => None,
        };
        let id = self.log.next_id();
        self.log.open(RequestRecord {
            id,
            service: request.service,
            method: request.method.to_string(),
            path: request.path.clone(),
            api_version: request.query_parameter("api-version"),
            operation: operation.to_owned(),
            caller,
            started: now,
            ended: None,
            status: None,
            effective: false,
            held: false,
        });
        Operation {
            id,
            request,
            admitted,
            obstacles,
            issuer_to_fetch,
            documents: None,
        }
    }

    fn admit(&mut self, request: &Request, now: Timestamp) -> (Option<Uuid>, Admitted) {
        match request.service {
            Service::ResourceManager => {
                if let Some(token) = arm::authentication::bearer(request) {
                    self.log.secret(SecretKind::BearerToken, token);
                }
                let (caller, admitted) = self.arm_admit(request, now);
                (
                    caller.map(|caller| caller.client_id),
                    Admitted::ResourceManager(admitted),
                )
            }
            Service::Entra => (
                Self::entra_claimed_client(request),
                Admitted::Entra(self.entra_admit(request)),
            ),
            Service::Issuer => (None, Admitted::Issuer),
        }
    }

    /// Second phase: the request changes the state and gets its answer. Call it once.
    pub fn take_effect(&mut self, operation: &mut Operation, now: Timestamp) -> Answer {
        if let Some((When::BeforeEffect, action)) = &operation.obstacles.fault {
            return self.faulty_answer(&operation.request, action);
        }
        if let Some(record) = self.log.record(operation.id) {
            record.effective = true;
        }
        let request = &operation.request;
        let response = match operation.admitted.clone() {
            Admitted::ResourceManager(admitted) => {
                let response = self.arm_effect(request, admitted, now);
                self.arm_headers(request, response)
            }
            Admitted::Entra(admitted) => {
                self.entra_effect(request, admitted, operation.documents.as_ref(), now)
            }
            Admitted::Issuer => self.issuer_effect(request),
        };
        match &operation.obstacles.fault {
            Some((When::AfterEffect, action)) => self.faulty_answer(request, action),
            _ => Answer::Response(response),
        }
    }

    fn faulty_answer(&mut self, request: &Request, action: &FaultAction) -> Answer {
        match action.answer(request.service) {
            Answer::Response(response) if request.service == Service::ResourceManager => {
                let headers = response.headers.clone();
                let mut response = self.arm_headers(request, response);
                // What the fault says goes before what Azure always sends.
                response.headers.extend(headers);
                Answer::Response(response)
            }
            answer => answer,
        }
    }

    /// Notes that a request is being held.
    pub fn hold(&mut self, id: u64) {
        if let Some(record) = self.log.record(id) {
            record.held = true;
        }
    }

    /// Last phase: the answer was handed out, or (`None`) there was none to hand out or nobody to take it.
    pub fn end(&mut self, id: u64, response: Option<&Response>, now: Timestamp) {
        if let Some(record) = self.log.record(id) {
            record.ended = Some(now);
            record.status = response.map(|response| response.status.as_u16());
        }
    }
}
