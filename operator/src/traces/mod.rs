//! Traces for an OpenTelemetry collector, by OTLP over http with protobuf.
//!
//! What is in them is in [`crate::runtime::spans`]. Here is where they go to. The cargo feature `otlp` has it: a build without the feature
//! refuses an address.

mod collector;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod sender;
#[cfg(not(feature = "otlp"))]
mod without;

pub use collector::{Collector, InvalidCollector};
#[cfg(feature = "otlp")]
pub use export::{Error, Traces};
#[cfg(not(feature = "otlp"))]
pub use without::Traces;
