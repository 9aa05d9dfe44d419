//! One kind of read of an identity, shared by all who ask for it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Freshness;
use crate::azure::{AzureError, AzureErrorKind};

/// How long anybody waits for a request of somebody else: longer than a healthy Azure takes, and far below the time-out
/// of a request. Who waits holds up other bindings, those of healthy identities among them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last answer, and the place of the request that is under way.
#[derive(Debug)]
pub(super) struct SharedRead<T> {
    last: Mutex<Option<Read<T>>>,
}

#[derive(Debug)]
struct Read<T> {
    asked: Instant,
    answered: Instant,
    answer: Result<T, AzureError>,
}

impl<T> Default for SharedRead<T> {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
        }
    }
}

impl<T> Read<T> {
    /// A failure serves those who waited for it, and everybody until the time that Azure has set.
    fn serves(&self, freshness: Freshness, arrived: Instant) -> bool {
        match &self.answer {
            Ok(_) => freshness.allows(self.asked),
            Err(error) => {
                self.answered >= arrived
                    || error
                        .retry_after()
                        .is_some_and(|delay| self.answered.elapsed() < delay)
            }
        }
    }
}

impl<T: Clone> SharedRead<T> {
    /// The last answer where it is fresh enough, otherwise that of `request`.
    pub(super) async fn get(
        &self,
        freshness: Freshness,
        request: impl Future<Output = Result<T, AzureError>>,
    ) -> Result<T, AzureError> {
        let arrived = Instant::now();
        let Ok(mut last) = timeout(PATIENCE, self.last.lock()).await else {
            let message = "azure has not answered an earlier read of the same identity";
            return Err(AzureError::local(AzureErrorKind::Unavailable, message));
        };
        if let Some(read) = last.as_ref().filter(|read| read.serves(freshness, arrived)) {
            return read.answer.clone();
        }
        // Whoever is cancelled in the request leaves nothing behind that could be taken for its answer.
        *last = None;
        let asked = Instant::now();
        let answer = request.await;
        *last = Some(Read {
            asked,
            answered: Instant::now(),
            answer: answer.clone(),
        });
        answer
    }

    /// Forgets the last answer.
    pub(super) async fn forget(&self) {
        *self.last.lock().await = None;
    }

    /// Changes the last answer by what is known to have happened since.
    pub(super) async fn amend(&self, change: impl FnOnce(&mut T)) {
        if let Some(Read {
            answer: Ok(answer), ..
        }) = self.last.lock().await.as_mut()
        {
            change(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    const FRESH: Freshness = Freshness::Within(Duration::from_secs(60));

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_read_that_hangs() {
        let read = Arc::new(SharedRead::<()>::default());
        let hanging = Arc::clone(&read);
        let first = tokio::spawn(async move { hanging.get(FRESH, pending()).await });
        tokio::task::yield_now().await;
        let arrived = Instant::now();
        let waited = read.get(FRESH, async { Ok(()) }).await;
        assert_eq!(waited.unwrap_err().kind(), AzureErrorKind::Unavailable);
        assert_eq!(arrived.elapsed(), PATIENCE);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(
            read.get(FRESH, async { Ok(()) }).await,
            Ok(()),
            "a cancelled read leaves nothing behind"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_azure_sets_holds_for_everybody() {
        let read = SharedRead::<u8>::default();
        let throttled = || {
            AzureError::local(AzureErrorKind::Throttled { retry_after: None }, "slow down")
                .with_retry_after(Duration::from_secs(17))
        };
        assert!(read.get(FRESH, async { Err(throttled()) }).await.is_err());
        tokio::time::advance(Duration::from_secs(16)).await;
        for freshness in [FRESH, Freshness::Since(Instant::now())] {
            assert_eq!(read.get(freshness, async { Ok(1) }).await, Err(throttled()));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(read.get(FRESH, async { Ok(2) }).await, Ok(2));
    }
}
