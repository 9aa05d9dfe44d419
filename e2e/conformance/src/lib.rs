//! Asks Azure Resource Manager itself what the Azure simulator assumes about it.
//!
//! Each probe is a function in a file of its own below [`probes`]. It works on resources of its own, in a resource group
//! that [`run`] makes and removes. What it finds are [`facts`]; [`report`] compares them with what is [`assumed`].
//! The simulator and this package share no code, so that one mistake cannot hide another.

pub mod arm;
pub mod assumed;
pub mod cli;
mod error;
pub mod facts;
mod group;
pub mod plan;
pub mod probes;
pub mod report;
pub mod run;
pub mod token;

pub use self::error::Error;
