//! One process of the operator, as the world sees it: it can die at each of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::invariants;
use crate::invariants::{accounts, finalizers};
use crate::kubernetes::{Key, Kind, Refusal};
use crate::shared::Shared;
use crate::trace::lock;

/// The process that a call is made by.
#[derive(Debug, Clone)]
pub struct Process {
    pub shared: Arc<Shared>,
    /// Counts the processes of a run from 1.
    pub number: u32,
    dead: Arc<AtomicBool>,
}

impl Process {
    pub fn new(shared: Arc<Shared>, number: u32) -> Self {
        Self {
            shared,
            number,
            dead: Arc::default(),
        }
    }

    /// The end: none of its calls goes on from here.
    pub fn kill(&self) {
        let now = self.shared.time.now();
        lock(&self.shared.books).foreign.process_died(now);
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// A dead process never sees what comes next.
    pub async fn stay_if_dead(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// The process may die here.
    pub async fn crash_point(&self, place: &str) {
        self.stay_if_dead().await;
        if self.shared.is_disturbing() && self.shared.chance(self.shared.crashes_per_mille) {
            self.shared
                .trace
                .note(format!("process {} dies {place}", self.number));
            self.shared.count(format!(
                "crash {}",
                place.split(' ').take(2).collect::<Vec<_>>().join(" ")
            ));
            self.kill();
            self.shared.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// A call of the API server sets out.
    pub async fn travel(&self, method: &str, path: &str) {
        self.crash_point(&format!("before {method} {path}")).await;
        self.shared.sleep(1..=6).await;
        self.stay_if_dead().await;
    }

    /// Its answer comes back.
    pub async fn arrive(&self, method: &str, path: &str) {
        self.crash_point(&format!("after {method} {path}")).await;
        self.shared.sleep(1..=6).await;
        self.stay_if_dead().await;
    }

    /// A watch event comes late.
    pub async fn lag(&self) {
        let late = self.shared.is_disturbing() && !self.shared.calm && self.shared.chance(50);
        if late {
            self.shared.count("watch lags");
        }
        self.shared
            .sleep(if late { 200..=3000 } else { 1..=30 })
            .await;
        if let Some(until) = self.shared.stalled_until() {
            tokio::time::sleep_until(until).await;
        }
        self.stay_if_dead().await;
    }

    /// The version that a list shows: while there are disturbances it may be an older one.
    pub fn list_version(&self, kind: Kind, newest: u64) -> u64 {
        if kind == Kind::Binding
            && let Some(version) = self.shared.take_version_of_list()
        {
            return self.shown_of_old(kind, version);
        }
        if self.number > 1 && self.shared.is_disturbing() && self.shared.chance(300) {
            return self.shown_of_old(kind, newest.saturating_sub(self.shared.draw(1..=8)));
        }
        newest
    }

    fn shown_of_old(&self, kind: Kind, version: u64) -> u64 {
        self.shared.count("stale list");
        if kind == Kind::Binding {
            let list = (version, self.shared.time.now());
            lock(&self.shared.books).old_list.insert(self.number, list);
        }
        version
    }

    /// Time for a client that waits.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.stay_if_dead().await;
    }

    pub fn wrote(
        &self,
        method: &Method,
        key: &Key,
        status: bool,
        outcome: &Result<Value, Refusal>,
    ) {
        finalizers::written(self, method, key, outcome);
        accounts::written(self, method, key, outcome);
        invariants::kubernetes_call(self, method, key, status, outcome);
    }

    pub fn told(&self, reason: &str, note: &str) {
        self.shared.count(format!("event {reason}"));
        self.shared.trace.note(format!("event {reason}: {note}"));
    }
}
