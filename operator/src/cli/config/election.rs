//! Whether the operator asks for a Lease before it writes, and for which.

use std::fs;
use std::time::Duration;

use super::error::Error;
use super::values::{duration, duration_within, given, shown};
use crate::cli::flags::Cli;
use crate::leader::{LONGEST_LEASE, Timings};

/// Where the kubelet writes which namespace a pod is in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The longest name of a namespace.
const LONGEST_NAMESPACE: usize = 63;

/// More often than this no API server needs to be asked.
const SHORTEST: Duration = Duration::from_millis(100);

/// A Lease of one second without a holder is how a release is told.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// The Lease, and whether this process holds it while it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Whether it writes only while it holds the Lease.
    pub takes_part: bool,
    /// Where the Lease is. None: the process takes no part, and is in no namespace.
    pub namespace: Option<String>,
    pub timings: Timings,
}

pub(super) fn election(cli: &Cli) -> Result<Election, Error> {
    let takes_part = cli.leader_elect;
    let timings = timings(cli)?;
    let namespace = match given(&cli.leader_election_namespace) {
        Some(namespace) => Some(namespace.to_owned()),
        None => fs::read_to_string(NAMESPACE_FILE).ok(),
    };
    let namespace = namespace.map(|it| it.trim().to_owned());
    if let Some(namespace) = namespace.as_ref().filter(|it| !is_label(it)) {
        return Err(Error::Namespace(namespace.clone()));
    }
    if takes_part {
        namespace.as_ref().ok_or(Error::NoNamespace)?;
    }
    if namespace.is_some() {
        settles_in_time(cli)?;
    }
    Ok(Election {
        takes_part,
        namespace,
        timings,
    })
}

fn timings(cli: &Cli) -> Result<Timings, Error> {
    let read = |flag, value, shortest| {
        let value = duration_within(flag, value, shortest, LONGEST_LEASE)?;
        Ok((flag, value))
    };
    let lease = read(
        "leader-elect-lease-duration",
        &cli.leader_elect_lease_duration,
        SHORTEST_LEASE,
    )?;
    let renew = read(
        "leader-elect-renew-deadline",
        &cli.leader_elect_renew_deadline,
        SHORTEST,
    )?;
    let retry = read(
        "leader-elect-retry-period",
        &cli.leader_elect_retry_period,
        SHORTEST,
    )?;
    for ((shorter, short), (longer, long)) in [(retry, renew), (renew, lease)] {
        if short >= long {
            return Err(Error::Order {
                shorter,
                shorter_value: shown(short),
                longer,
                longer_value: shown(long),
            });
        }
    }
    let (most, least) = (renew.1 / 2, lease.1.mul_f64(0.1));
    if retry.1 > most {
        return Err(Error::RetriesTooLate {
            retry_period: shown(retry.1),
            most: shown(most),
        });
    }
    if lease.1 - renew.1 < least {
        return Err(Error::NoMargin {
            renew_deadline: shown(renew.1),
            lease_duration: shown(lease.1),
            most: shown(lease.1 - least),
        });
    }
    Ok(Timings {
        lease_duration: lease.1,
        renew_deadline: renew.1,
        retry_period: retry.1,
    })
}

/// Who takes over counts each recorded write as sent at that moment. What the process before it has sent a moment earlier
/// is over when a request is: the settle time has to be no shorter.
fn settles_in_time(cli: &Cli) -> Result<(), Error> {
    let settle_time = duration("write-settle-time", &cli.write_settle_time, 1, 3600)?;
    let request_timeout = duration("request-timeout", &cli.request_timeout, 1, 600)?;
    if settle_time < request_timeout {
        return Err(Error::SettlesTooSoon {
            settle_time: shown(settle_time),
            request_timeout: shown(request_timeout),
        });
    }
    Ok(())
}

/// As Kubernetes names namespaces (RFC 1123).
fn is_label(name: &str) -> bool {
    let is_inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    !name.is_empty() && name.len() <= LONGEST_NAMESPACE && ends && name.bytes().all(is_inner)
}
