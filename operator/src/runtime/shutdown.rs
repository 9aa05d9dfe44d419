//! SIGTERM and SIGINT, and how work ends in order.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

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

/// How much longer than one request to Azure the shutdown may take.
pub const GRACE: Duration = Duration::from_secs(5);

/// How the work of a term has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All that was sent has its answer.
    AllAnswered,
    /// Passes hung, and were given up. No write to Azure is under way.
    GivenUp,
}

/// How it must not end.
#[derive(Debug, thiserror::Error)]
pub enum BadEnd {
    #[error("the controller ended although nothing told it to stop; the log says why")]
    ControllerEnded,
    #[error("the work under way did not end within {0:?}")]
    Unfinished(Duration),
}

/// Once this is over, lets the passes under way finish, then the writes that outlived theirs. Passes that hang are given up: the
/// API server may be the one that does not answer, and without it no claim is kept either.
///
/// # Errors
/// The controller ended before, or writes are under way that do not end.
pub async fn wind_down(
    over: impl Future<Output = ()>,
    mut controller: AbortOnDropHandle<()>,
    writes_done: impl Future<Output = ()>,
    grace: Duration,
) -> Result<End, BadEnd> {
    tokio::select! {
        // A controller without work ends as soon as it is told to stop. Which of the two is polled first decides whether
        // that counts as the shutdown or as an end by itself.
        biased;
        () = over => {}
        // It runs until it is told to stop: a supervisor should start the operator anew.
        _ = &mut controller => return Err(BadEnd::ControllerEnded),
    }
    let began = Instant::now();
    let passes = timeout(grace, &mut controller).await;
    if passes.is_err() {
        tracing::warn!("passes under way were given up after {grace:?}");
        controller.abort();
        let _ = controller.await;
    }
    // A write may have begun at the end of the last pass.
    let left = grace.saturating_sub(began.elapsed()).max(GRACE);
    let writes = timeout(left, writes_done).await;
    writes.map_err(|_| BadEnd::Unfinished(grace))?;
    Ok(match passes {
        Ok(Ok(())) => End::AllAnswered,
        // One that panicked may have left a write to the cluster under way.
        Ok(Err(_)) | Err(_) => End::GivenUp,
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_controller_that_ends_when_it_is_told_to_stop_has_not_ended_by_itself() {
        // Both are seen at once; which is looked at first must not be left to chance.
        for _ in 0..64 {
            let controller = AbortOnDropHandle::new(tokio::spawn(ready(())));
            while !controller.is_finished() {
                tokio::task::yield_now().await;
            }
            let outcome = wind_down(ready(()), controller, ready(()), LIMIT).await;
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_controller_that_ends_by_itself_is_an_error() {
        let controller = AbortOnDropHandle::new(tokio::spawn(ready(())));
        let outcome = wind_down(pending(), controller, ready(()), LIMIT).await;
        assert!(matches!(outcome, Err(BadEnd::ControllerEnded)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_write_that_does_not_end_is_an_error() {
        let hangs = || AbortOnDropHandle::new(tokio::spawn(pending()));
        let outcome = wind_down(ready(()), hangs(), ready(()), LIMIT).await;
        assert!(matches!(outcome, Ok(End::GivenUp)), "{outcome:?}");
        let outcome = wind_down(ready(()), hangs(), pending(), LIMIT).await;
        assert!(matches!(outcome, Err(BadEnd::Unfinished(_))));
    }
}
