//! What a write has to be allowed by in each moment in which it is sent: it may be sent twice, and what allowed it may end in between.

use std::sync::Arc;

/// Answers whether a write may go now.
pub type Question = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    static MAY_GO: Question;
}

/// Has what this future sends once more asked about before.
pub async fn while_allowed<T>(may_go: Question, request: impl Future<Output = T>) -> T {
    MAY_GO.scope(may_go, request).await
}

/// Whether a request of this task may be sent now. Where nobody has asked a question, it may.
pub(super) fn may_go() -> bool {
    MAY_GO.try_with(|may_go| may_go()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_question_is_asked_each_time_and_only_within_its_future() {
        let answers = Arc::new(std::sync::Mutex::new(vec![false, true]));
        let next = move || answers.lock().unwrap().pop().unwrap();
        let asked = while_allowed(Arc::new(next), async { (may_go(), may_go()) }).await;
        assert_eq!(asked, (true, false));
        assert!(may_go());
    }
}
