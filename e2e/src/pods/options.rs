//! What differs between nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a node has to know.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The namespace whose pods run here. All others stay pending.
    pub namespace: String,
    /// The images that can be pulled: the program that each of them has as its entry point.
    pub images: BTreeMap<String, PathBuf>,
    /// Ports of this machine's loopback interface that pods reach at 127.0.0.1, too: Azure's simulator.
    pub loopback_ports: Vec<u16>,
    /// A projected token is renewed when it is this old. As a kubelet does it when none: before 80 % of its life is over.
    pub renew_tokens_after: Option<Duration>,
    /// A file to which each token that a pod is given is added, a line each: no log may contain it.
    pub note_tokens: Option<PathBuf>,
    /// Where the containers' logs go; one file each. A folder of the node's own, which goes with it, when none.
    pub logs: Option<PathBuf>,
}
