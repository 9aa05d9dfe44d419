//! Where the cluster's ServiceAccount tokens come from, and whether Microsoft Entra can verify them.
//!
//! [`discovery`] says which it is, from [`api_server`] and the operator's own token. [`fetch`] reads what is public.
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
pub mod platform;
pub mod reach;
pub mod token;
