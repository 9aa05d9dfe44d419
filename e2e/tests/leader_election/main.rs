//! Several operators, of which one leads: nobody writes twice, and nobody writes without the Lease.
//!
//! The tests share an environment and take turns with it. Leases are short, so that no test waits for what takes seconds in
//! production. At its end each test is judged by what the API server and Azure have seen of it ([`judge`]).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_server;
mod bindings;
mod clocks;
mod evidence;
mod grants;
mod hooks;
mod judge;
mod lease;
mod operators;
mod partition;
mod renewals;
mod rollout;
mod takeover;
mod under_way;

use std::time::{Duration, Instant};

use anyhow::Context;
use azwib_e2e::api_proxy::{CallMatcher, Slow};
use azwib_e2e::environment::{ManagedIdentity, Namespace, condition};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::wait::{PATIENCE, until};
use azwib_e2e::{Environment, OperatorProcess};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use self::bindings::{
    BOTH, deleted, settled, while_busy, with_a_deletion_under_way, works, works_beside,
};
use self::operators::{Operators, Options};

const LEASE: &str = "azwib-operator";
const LEASE_DURATION: Duration = Duration::from_secs(3);
const RENEW_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// What a busy machine adds to everything.
const SLACK: Duration = Duration::from_secs(3);

/// What never comes while a test runs.
const HANGS: Slow = Slow {
    by: Duration::from_secs(3600),
    lands: false,
};

/// The calls that renew the Lease, or take it.
fn renewals() -> CallMatcher {
    CallMatcher {
        method: "PUT".to_owned(),
        path: format!("/apis/coordination.k8s.io/v1/namespaces/azwib-system/leases/{LEASE}"),
    }
}

fn signal(operator: &OperatorProcess, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(operator.pid().cast_signed()).context("a process id")?;
    Ok(kill_process(pid, signal)?)
}
