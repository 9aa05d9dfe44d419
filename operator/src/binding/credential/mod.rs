//! The federated identity credential of a binding: who applies for it, what is on record, and its write.

pub mod applicants;
pub mod duplicates;
pub mod leftovers;
pub mod orphans;
pub mod record;
pub mod write;
