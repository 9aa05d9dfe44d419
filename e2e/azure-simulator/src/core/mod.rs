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
//! caller where it wants to: Azure does not stop a write for that, so that a caller which gives up mostly is one whose request goes
//! through its phases all the same and ends without an answer. Two runs with one seed, and the same calls at the same times, are the same.
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
mod azure;
pub(crate) mod entra;
mod faults;
mod fixtures;
pub mod http;
mod inspection;
pub mod interference;
mod issuer;
pub mod locks;
mod operation;
mod phases;
mod random;
pub mod rbac;
pub mod request_log;
mod settings;
pub mod signing;
pub mod state;
pub mod throttle;
mod time;
pub mod tunables;
mod writes;

pub use self::azure::Azure;
pub use self::entra::IssuerDocuments;
pub use self::fixtures::{FixtureError, NewIdentity};
pub use self::operation::{Operation, Outcome};
pub use self::settings::{DEFAULT_LOCATION, Endpoints, Settings};
pub use self::signing::{SigningKey, SigningKeyError};
