//! The operator in pods: `config/` as a user applies it, the API server's own controllers, and a node that starts what the pods say. See
//! `azwib_e2e::pods` for what that node is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disruption;
mod installed;
mod own_spec;
mod restarts;
mod rolling_update;

use self::installed::{CONTAINER, Installed};
