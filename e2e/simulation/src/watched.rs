//! A value that somebody waits for.

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::trace::lock;

/// A value that somebody waits for. Those who wait are woken in the order in which they came, which tokio's `watch` leaves to
/// chance: a run has to come out the same again.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<(u64, T)>,
    changed: Notify,
}

impl<T: Clone> Watched<T> {
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new((0, value)),
            changed: Notify::new(),
        }
    }

    pub fn get(&self) -> T {
        lock(&self.value).1.clone()
    }

    pub fn set(&self, value: T) {
        {
            let mut held = lock(&self.value);
            *held = (held.0 + 1, value);
        }
        self.changed.notify_waiters();
    }

    /// How often it was set.
    pub fn times(&self) -> u64 {
        lock(&self.value).0
    }

    /// Waits until it was set more often than that.
    pub async fn set_since(&self, times: u64) {
        self.wait(|(set, _)| *set > times).await;
    }

    /// Waits until this holds of it.
    pub async fn wait_for(&self, holds: impl Fn(&T) -> bool) -> T {
        self.wait(|(_, value)| holds(value)).await
    }

    async fn wait(&self, holds: impl Fn(&(u64, T)) -> bool) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let held = lock(&self.value);
                if holds(&held) {
                    return held.1.clone();
                }
            }
            changed.await;
        }
    }
}
