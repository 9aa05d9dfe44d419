//! A simulator of the parts of Azure that workload identity federation needs: Resource Manager's managed identities,
//! Microsoft Entra's token endpoint, and the public issuer of clusters.
//!
//! [`Simulator`] serves them over https; [`control::ControlClient`] sets up what a test needs and looks at what was
//! asked; [`core`] is the model itself, without IO. What is modelled, and from which source, is in `docs/model.md`.

pub mod control;
pub mod core;
mod server;

pub use crate::core::state::ServicePrincipal;
pub use crate::core::tunables::Tunables;
pub use crate::server::{Addresses, Simulator, SimulatorConfig};
