//! SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process was told by signals.
#[derive(Debug, Clone)]
pub struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT: finish what is under way, and end.
    pub stop: CancellationToken,
    /// Cancelled by the second: end at once.
    pub at_once: CancellationToken,
}

/// Listens for SIGTERM and SIGINT from now on.
///
/// # Errors
/// The system gives no signals to listen for.
pub fn on_signal() -> std::io::Result<Signals> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let signals = Signals {
        stop: CancellationToken::new(),
        at_once: CancellationToken::new(),
    };
    let told = signals.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let signal = next().await;
        tracing::info!("received {signal}; finishing what is under way");
        told.stop.cancel();
        let signal = next().await;
        tracing::warn!("received {signal} once more; ending at once");
        told.at_once.cancel();
    });
    Ok(signals)
}
