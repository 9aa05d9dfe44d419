//! What every long-running process needs: probes, metrics, logs, time, randomness, shutdown.

pub mod clock;
pub mod clocks;
pub mod deliberate;
pub mod hash;
pub mod jitter;
pub mod listen;
pub mod liveness;
pub(crate) mod lock;
pub mod metrics;
pub mod probes;
pub mod serve;
pub mod shutdown;
pub mod spans;
pub mod sweep;
pub mod telemetry;
