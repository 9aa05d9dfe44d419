//! Where the cluster's ServiceAccount tokens come from, and whether Microsoft Entra can verify them.
//!
//! [`discovery`] says which it is, from [`api_server`] and the operator's own token. [`fetch`] reads what is public,
//! and [`proof`] signs in. [`watch`] does both again and again, [`steady`] keeps what flaps from being told each time, and [`metrics`]
//! shows it.
//!
//! Pure: [`addresses`] and [`reach`] (what is not of the internet), [`document`] and [`keys`] (what an issuer publishes), [`token`]
//! (what the operator's own token says), [`platform`] (what to do about it on this kind of cluster) and [`judge`] (what follows).

pub mod addresses;
pub mod api_server;
pub mod discovery;
pub mod document;
pub mod fetch;
pub mod judge;
pub mod keys;
pub mod metrics;
pub mod platform;
pub mod proof;
pub mod reach;
pub mod steady;
pub mod token;
#[cfg(test)]
mod tokens;
pub mod watch;
