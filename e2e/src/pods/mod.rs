//! A node for the local control plane: scheduler, kubelet, container runtime and pod network, as far as the operator's Deployment needs
//! them. `kubectl rollout status`, `helm --wait`, disruption budgets and rollbacks wait for pods that really run.
//!
//! A pod has a network namespace and a root of its own. What it runs, sees and reaches follows from its spec alone; what a spec asks for and
//! this node does not do is refused, in the status of the container. `docs/testing.md` says what is missing.

mod backoff;
mod container;
mod environment;
mod expansion;
mod kubelet;
mod machine;
mod network;
mod node;
mod options;
mod probes;
mod root;
pub mod sandbox;
mod scheduler;
mod spec;
mod status;
mod tokens;
mod volumes;
mod worker;

pub use self::machine::RunningPod;
pub use self::node::Node;
pub use self::options::NodeOptions;
