//! All of it together: Azure's simulator, the control plane whose issuer it publishes, azwib installed by config/, and
//! the operator signed in by a token of its own ServiceAccount.

pub mod arm;
mod grants;
mod install;
pub mod interference;
pub mod large;
mod namespace;
mod node;
mod observation;
mod operator;
mod operator_identity;
pub mod recorder;
mod rollout;
pub mod rule;
mod setup;
mod simulator;
pub mod slow_webhook;

pub use self::install::repository;
pub use self::namespace::{ManagedIdentity, Namespace, annotation, condition, observed};
pub use self::observation::ready_reasons;
pub use self::setup::{Environment, EnvironmentOptions};
pub use self::simulator::SimulatorProcess;
pub use crate::wait::PATIENCE;
