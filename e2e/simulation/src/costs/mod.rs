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
//! For the statuses, another binding that comes, changes or goes (a binding of the same account, or of the same identity,
//! whose slots they share) counts like a fault: who waits says so, and that it is over. The same holds for an account or
//! a namespace that goes, and once for whoever has to wait for another.
//!
//! The quiet time is judged by itself, so that faults of before it excuse nothing that goes on for ever: with what is left
//! to be done when it begins, and one fault, since the last thing that happened before takes effect in it.

mod judge;
mod lives;
mod log;
mod witness;

pub use judge::COSTS;
pub use log::Costs;
