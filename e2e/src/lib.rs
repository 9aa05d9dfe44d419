//! The local control plane, the webhook beside it, and what the end-to-end tests, the demo and the benchmark need
//! to drive them.

pub mod api_proxy;
pub mod assets;
pub mod bench;
mod certificates;
pub mod checks;
pub mod control_plane;
pub mod demo;
pub mod environment;
pub mod examples;
pub mod keys;
pub mod operator_process;
pub mod pods;
pub mod supervisor;
pub mod wait;
pub mod webhook;
pub mod workload;

pub use api_proxy::ApiProxy;
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use environment::{Environment, EnvironmentOptions};
pub use keys::ServiceAccountKeys;
pub use operator_process::{OperatorAccess, OperatorOptions, OperatorProcess};
pub use pods::{Node, NodeOptions};
pub use webhook::{Webhook, WebhookOptions};
pub use workload::{ProjectedToken, TokenExchange};
