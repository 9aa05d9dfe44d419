//! Requests that are held until a test lets them go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::control::api::HoldState;
use crate::core::interference::RuleId;

/// All holds by id.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<HashMap<RuleId, watch::Sender<HoldState>>>);

impl Holds {
    fn lock(&self) -> MutexGuard<'_, HashMap<RuleId, watch::Sender<HoldState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hold that no request has reached.
    pub(crate) fn add(&self, id: RuleId) {
        self.lock()
            .insert(id, watch::Sender::new(HoldState::Waiting));
    }

    /// Lets the held request go, or one that would be held later pass. `None` if there is no such hold.
    pub(crate) fn release(&self, id: RuleId) -> Option<HoldState> {
        let holds = self.lock();
        let hold = holds.get(&id)?;
        hold.send_modify(|state| {
            if matches!(state, HoldState::Waiting | HoldState::Reached) {
                *state = HoldState::Released;
            }
        });
        Some(*hold.borrow())
    }

    /// Lets everything go and forgets all holds.
    pub(crate) fn clear(&self) {
        for (_, hold) in self.lock().drain() {
            hold.send_replace(HoldState::Released);
        }
    }

    /// The state, once it is no longer `Waiting` or the time is over. `None` if there is no such hold.
    pub(crate) async fn reached(&self, id: RuleId, timeout: Duration) -> Option<HoldState> {
        let mut receiver = self.lock().get(&id)?.subscribe();
        let reached = receiver.wait_for(|state| *state != HoldState::Waiting);
        let state = match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(state)) => *state,
            _ => HoldState::Waiting,
        };
        Some(state)
    }

    /// Holds the calling request until it is released. When its caller goes away, the future is dropped.
    pub(crate) async fn wait(&self, id: RuleId) {
        let Some(sender) = self.lock().get(&id).cloned() else {
            return;
        };
        let mut receiver = sender.subscribe();
        let is_new = sender.send_if_modified(|state| {
            let is_new = *state == HoldState::Waiting;
            if is_new {
                *state = HoldState::Reached;
            }
            is_new
        });
        if !is_new {
            return;
        }
        let _caller = CallerGone(&sender);
        let _ = receiver
            .wait_for(|state| *state == HoldState::Released)
            .await;
    }
}

/// Notes that a caller left before the release.
struct CallerGone<'a>(&'a watch::Sender<HoldState>);

impl Drop for CallerGone<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let was_held = *state == HoldState::Reached;
            if was_held {
                *state = HoldState::CallerGone;
            }
            was_held
        });
    }
}
