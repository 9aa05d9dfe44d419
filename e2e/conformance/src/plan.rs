//! What a run would send: for `--dry-run`.

use std::fmt::Write as _;

use crate::cli::{Arguments, ProbeName};

/// Requests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// HTTP method.
    pub method: &'static str,
    /// Where, below the resource group (`{group}`).
    pub path: &'static str,
    /// So many at most, if nothing has to be waited for.
    pub at_most: usize,
}

/// The resource group.
const GROUP: &str = "{group}";
/// An identity.
const IDENTITY: &str = "{group}/…/userAssignedIdentities/{name}";
/// The credentials of an identity.
const CREDENTIALS: &str = "{group}/…/{identity}/federatedIdentityCredentials";
/// One of them.
const CREDENTIAL: &str = "{group}/…/{identity}/federatedIdentityCredentials/{name}";
/// The locks in the group.
const LOCKS: &str = "{group}/providers/Microsoft.Authorization/locks";
/// A lock on an identity.
const LOCK: &str = "{group}/…/{identity}/providers/Microsoft.Authorization/locks/{name}";

/// Seconds that Azure takes to remove a group: some minutes at most, as it shows with other groups.
const REMOVAL_SECONDS: usize = 120;

fn planned(method: &'static str, path: &'static str, at_most: usize) -> Planned {
    Planned {
        method,
        path,
        at_most,
    }
}

/// The requests that make and remove the resource group.
pub fn of_the_group() -> Vec<Planned> {
    vec![
        planned("PUT", GROUP, 1),
        planned("GET", LOCKS, 1),
        planned("DELETE", GROUP, 1),
        planned("GET", GROUP, 1),
    ]
}

/// The requests of a probe.
pub fn requests(probe: ProbeName, arguments: &Arguments) -> Vec<Planned> {
    let regions = arguments.regions.len();
    let fill = || vec![planned("PUT", IDENTITY, 1), planned("PUT", CREDENTIAL, 40)];
    match probe {
        ProbeName::Token => vec![],
        ProbeName::NewIdentity => vec![planned("PUT", IDENTITY, 2), planned("PUT", CREDENTIAL, 6)],
        ProbeName::SingleWriter => {
            vec![
                planned("PUT", IDENTITY, 1),
                planned("PUT", CREDENTIAL, 19),
                planned("DELETE", CREDENTIAL, 6),
            ]
        }
        ProbeName::Duplicate => vec![planned("PUT", IDENTITY, 1), planned("PUT", CREDENTIAL, 2)],
        ProbeName::Limit => fill(),
        ProbeName::PageSize => {
            let mut requests = vec![planned("GET", CREDENTIALS, 40)];
            // Otherwise it reads the identity that the other probe has filled.
            if !arguments.probes().contains(&ProbeName::Limit) {
                requests.splice(0..0, fill());
            }
            requests
        }
        ProbeName::ReadLag => vec![
            planned("PUT", IDENTITY, 1),
            planned("PUT", CREDENTIAL, 4),
            planned("DELETE", CREDENTIAL, 3),
            planned("GET", CREDENTIAL, 6),
            planned("GET", CREDENTIALS, 6),
        ],
        ProbeName::Lock => vec![
            planned("PUT", IDENTITY, 1),
            planned("PUT", CREDENTIAL, 1),
            planned("PUT", LOCK, 1),
            planned("DELETE", CREDENTIAL, 1),
            planned("DELETE", LOCK, 1),
        ],
        ProbeName::Refusals => vec![
            planned("PUT", IDENTITY, 2),
            planned("PUT", CREDENTIAL, 4),
            planned("GET", IDENTITY, 2),
            planned("GET", CREDENTIAL, 1),
            planned("GET", CREDENTIALS, 1),
        ],
        ProbeName::Regions => vec![
            planned("PUT", IDENTITY, regions),
            planned("PUT", CREDENTIAL, regions),
        ],
        ProbeName::Throttling => vec![
            planned("PUT", IDENTITY, 61),
            planned("GET", IDENTITY, 60),
            planned("GET", CREDENTIALS, 60),
        ],
    }
}

/// Seconds that a probe takes, reckoned with the published limit of one write in 4 s for an identity.
fn seconds(probe: ProbeName, arguments: &Arguments) -> usize {
    match probe {
        ProbeName::Token => 0,
        ProbeName::NewIdentity => 30,
        ProbeName::SingleWriter => 50,
        ProbeName::Duplicate => 10,
        ProbeName::Limit => 100,
        ProbeName::PageSize if arguments.probes().contains(&ProbeName::Limit) => 5,
        ProbeName::PageSize => 105,
        ProbeName::ReadLag => 40,
        ProbeName::Lock => 30,
        ProbeName::Refusals => 20,
        ProbeName::Regions => 5 * arguments.regions.len(),
        ProbeName::Throttling => 60,
    }
}

/// The plan, for people.
pub fn text(arguments: &Arguments) -> String {
    let mut text = format!(
        "This would be sent to {} at most (nothing is sent now):\n",
        arguments.resource_manager
    );
    let mut total = 0;
    let mut add = |title: &str, requests: Vec<Planned>| {
        let _ = writeln!(text, "\n{title}");
        if requests.is_empty() {
            let _ = writeln!(text, "  no request: it reads the token");
        }
        for request in requests {
            total += request.at_most;
            let _ = writeln!(
                text,
                "  {:3} {:6} {}",
                request.at_most, request.method, request.path
            );
        }
    };
    let group = match arguments.subscription {
        Some(id) => format!(
            "resource group in subscription {id}, region {}",
            arguments.location
        ),
        None => format!("resource group, region {}", arguments.location),
    };
    add(&group, of_the_group());
    let mut time = REMOVAL_SECONDS;
    for probe in arguments.probes() {
        add(probe.as_str(), requests(probe, arguments));
        time += seconds(probe, arguments);
    }
    let minutes = time.div_ceil(60);
    let _ = write!(
        text,
        "\nAt most {total} requests, and more where Azure makes them wait. About {minutes} minutes, most of it Azure's limits of \
         writes and the removal of the group.\nCost: none. Resource groups, managed identities, federated credentials and \
         locks are free of charge.\n"
    );
    text
}
