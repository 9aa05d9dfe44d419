//! What every long-running process needs: probes, logs, the end.

pub mod probes;
pub mod shutdown;
pub mod telemetry;
