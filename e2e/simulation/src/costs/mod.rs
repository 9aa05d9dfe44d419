//! What a binding costs: statuses written for it and requests to Azure about its credential, against what has happened.
//!
//! Without a fault a binding that comes, or whose spec changes, costs three statuses and a PUT, one that goes a status, a
//! GET and a DELETE. Each fault adds two statuses and two requests at the most. The reads of an identity and the listings
//! are shared by its bindings and not counted.
//!
//! One fault is
//! - one answer of Azure that is not what was asked for: a refusal, whatever its code, an error, a body that cannot be
//!   read, none at all, a connection that fails. A refusal that stands is as many faults as there are answers;
//! - one write that the API server refuses;
//! - one start of another process.
//!
//! A status that somebody else has written costs what a change of the spec costs.
//!
//! What somebody else does in Azure may cost a binding its credential. That it is made again costs what one costs that
//! changes.
//!
//! It counts for whom it concerns. A fault of a request concerns the statuses of all bindings of its identity, since what
//! one of them reads or waits for they all do; one that throttles, or of a sign-in, those of all bindings, since pace and
//! token are shared. A refused write concerns the binding, or the bindings of the account. Requests are held against the
//! faults of requests about that very credential, those that throttle, what others do, restarts and refused writes.
//!
//! For the statuses, a neighbour that comes, changes or goes (a binding of the same account, or of the same identity,
//! whose slots they share) counts like a fault: who waits says so, and that it is over. The same holds for an account or
//! a namespace that goes, and once for whoever has to wait for a neighbour.
//!
//! The quiet time is judged by itself, so that faults of before it excuse nothing that goes on for ever: with what is left
//! to be done when it begins, and one fault, since the last thing that happened before takes effect in it.

mod judge;
mod lives;

use azure_simulator::core::http::{Request, Response, Service};
use serde_json::Value;

use crate::kubernetes::Kind;
use crate::process::Process;
use crate::requests::{credential_of, identity_of, operation};
use crate::shared::Shared;
use crate::trace::lock;
pub use judge::judge;

/// A binding costs no more than it must.
pub const COSTS: &str = "requests-within-their-number";

/// Whom a fault concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerns {
    Everybody,
    /// The bindings of an identity, by its lower-cased id, after a request about one credential.
    Credential(String, String),
    /// A binding, by namespace and name.
    Binding(String, String),
    /// The bindings of an account, by namespace and name.
    Account(String, String),
}

/// What was spent, or went wrong.
#[derive(Debug)]
enum What {
    /// By UID.
    Status(String),
    Finalizer(String, String),
    Account(String, String),
    /// By identity and name of the credential.
    Request(String, String, &'static str),
    /// A fault of the shared reads of an identity.
    SharedRead(String),
    Fault(Concerns),
    /// Somebody else has changed something about an identity, or about all of them.
    Change(Option<String>),
}

#[derive(Debug)]
struct Entry {
    /// The version that the cluster had.
    version: u64,
    quiet: bool,
    what: What,
}

/// Everything that was spent and that went wrong, in order.
#[derive(Debug, Default)]
pub struct Costs {
    log: Vec<Entry>,
    /// The version of the cluster at which the quiet time began.
    quiet_since: Option<u64>,
    /// Statuses that somebody else has written, by UID and version of the cluster.
    put: Vec<(String, u64)>,
}

impl Costs {
    fn note(&mut self, version: u64, what: What) {
        let quiet = self.quiet_since.is_some();
        self.log.push(Entry {
            version,
            quiet,
            what,
        });
    }

    /// Somebody else has written the status of a binding: what it costs to put it right is what a change costs.
    pub fn status_put(&mut self, uid: &str, version: u64) {
        self.put.push((uid.to_owned(), version));
    }

    /// Whether anything has gone wrong since this version that keeps the operator from seeing a credential.
    pub fn disturbed_since(&self, version: u64, identity: &str, name: &str) -> bool {
        self.log
            .iter()
            .filter(|it| it.version >= version)
            .any(|it| match &it.what {
                What::Fault(Concerns::Everybody) => true,
                What::Fault(Concerns::Credential(of, other)) => of == identity && other == name,
                What::Change(of) => of.as_deref().is_none_or(|of| of == identity),
                _ => false,
            })
    }

    /// From here on nothing is disturbed.
    pub fn be_quiet(&mut self, version: u64) {
        self.quiet_since = Some(version);
    }
}

/// Somebody else has changed something in Azure, about this identity or about all of them.
pub fn changed(shared: &Shared, identity: Option<&str>) {
    let identity = identity.map(str::to_ascii_lowercase);
    note(shared, What::Change(identity));
}

/// Something went wrong.
pub fn fault(shared: &Shared, concerns: Concerns) {
    note(shared, What::Fault(concerns));
}

fn note(shared: &Shared, what: What) {
    let version = shared.cluster.version();
    lock(&shared.books).costs.note(version, what);
}

/// A write to the API server was accepted; `object` is what came of it.
pub fn written(shared: &Shared, kind: Kind, is_status: bool, object: &Value) {
    let field = |name: &str| {
        let found = object["metadata"][name].as_str();
        found.unwrap_or_default().to_owned()
    };
    note(
        shared,
        match kind {
            Kind::Account => What::Account(field("namespace"), field("name")),
            _ if is_status => What::Status(field("uid")),
            _ => What::Finalizer(field("namespace"), field("name")),
        },
    );
}

/// A request leaves a process.
pub fn sent(process: &Process, request: &Request) {
    if let Some(name) = credential_of(request) {
        let what = What::Request(identity_of(request), name, operation(request));
        note(&process.shared, what);
    }
}

/// What a process got for a request. `disturbed` says that the answer is a fault of the run, whatever it looks like.
pub fn answered(process: &Process, request: &Request, disturbed: bool, answer: Option<&Response>) {
    let status = answer.map(|it| it.status.as_u16());
    let credential = credential_of(request);
    let not_there = status == Some(404) && operation(request) == "GET" && credential.is_some();
    let well = answer.is_some_and(|it| it.status.is_success()) || not_there;
    if well && !disturbed {
        return;
    }
    let identity = identity_of(request);
    let what = match credential {
        _ if request.service == Service::Entra || status == Some(429) => {
            What::Fault(Concerns::Everybody)
        }
        Some(name) => What::Fault(Concerns::Credential(identity, name)),
        None => What::SharedRead(identity),
    };
    note(&process.shared, what);
}
