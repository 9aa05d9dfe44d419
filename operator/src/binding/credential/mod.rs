//! The federated identity credential of a binding: who claims it, what is on record, and its write.

pub mod claims;
pub mod orphans;
pub mod records;
pub mod twins;
pub mod write;
