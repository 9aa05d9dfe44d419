//! What every long-running process needs: probes, logs, time and chance, the end.

pub mod chance;
pub mod clock;
pub mod deliberate;
pub mod probes;
pub mod shutdown;
pub mod telemetry;
