//! One process of the operator, as the world sees it: it can die at each of its calls.

use std::sync::Arc;
use std::time::Duration;

use crate::caller::Caller;
use crate::kubernetes::{Call, Kind};
use crate::machine::Machine;
use crate::shared::Shared;

/// The process that a call is made by.
#[derive(Debug, Clone)]
pub struct Process {
    pub shared: Arc<Shared>,
    pub machine: Arc<Machine>,
    caller: Caller,
    /// The number under which a call was sent that is under way.
    sent_as: Option<u32>,
}

impl Process {
    pub fn new(shared: Arc<Shared>, number: u32) -> Self {
        Self {
            machine: Arc::new(Machine::new(shared.time, number)),
            shared,
            caller: Caller::new(number),
            sent_as: None,
        }
    }

    /// The same process, which only looks.
    pub fn read_only(self, is_read_only: bool) -> Self {
        Self {
            caller: self.caller.read_only(is_read_only),
            ..self
        }
    }

    /// The process as those know it whom it calls.
    pub fn caller(&self) -> Caller {
        let number = self.sent_as.unwrap_or_else(|| self.machine.term());
        self.caller.in_term(number)
    }

    /// The process for a call that it sends now, whatever becomes of its term meanwhile.
    pub fn sending(&self) -> Self {
        Self {
            sent_as: Some(self.caller().number),
            ..self.clone()
        }
    }

    /// The end: none of its calls goes on from here.
    pub fn kill(&self) {
        self.caller.die();
        self.shared
            .tell(|it| it.process_died(&self.shared, &self.caller()));
    }

    pub fn is_dead(&self) -> bool {
        self.caller.is_dead()
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
                .note(format!("process {} dies {place}", self.caller.replica));
            self.shared.count(format!(
                "crash {}",
                place.split(' ').take(2).collect::<Vec<_>>().join(" ")
            ));
            self.kill();
            self.machine.dies();
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
        self.machine.goes_on().await;
        self.stay_if_dead().await;
    }

    /// What the process gets of a call that it cannot make: nothing for as long as that lasts, and then an error.
    pub async fn unreachable(&self) -> std::io::Error {
        self.machine.is_reachable().await;
        self.machine.goes_on().await;
        self.stay_if_dead().await;
        std::io::Error::other("the connection was lost")
    }

    /// A watch event comes late.
    pub async fn lag(&self, kind: Kind) {
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
        if kind == Kind::Binding {
            self.machine.sees_bindings().await;
        }
        self.machine.is_reachable().await;
        self.machine.goes_on().await;
        self.stay_if_dead().await;
    }

    /// The version that a list shows: while there are disturbances it may be an older one.
    pub fn list_version(&self, kind: Kind, newest: u64) -> u64 {
        if kind == Kind::Binding
            && let Some(version) = self.shared.take_version_of_list()
        {
            return self.shown_of_old(kind, version);
        }
        if self.caller.replica > 1 && self.shared.is_disturbing() && self.shared.chance(300) {
            return self.shown_of_old(kind, newest.saturating_sub(self.shared.draw(1..=8)));
        }
        newest
    }

    fn shown_of_old(&self, kind: Kind, version: u64) -> u64 {
        self.shared.count("stale list");
        if kind == Kind::Binding {
            let (shared, caller) = (&self.shared, &self.caller());
            shared.tell(|it| it.old_list_shown(shared, caller, version));
        }
        version
    }

    /// Time for a client that waits.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.stay_if_dead().await;
    }

    /// The process is shown this kind as it was at a version.
    pub fn shown(&self, kind: Kind, version: u64) {
        let (shared, caller) = (&self.shared, &self.caller());
        shared.tell(|it| it.shown(shared, caller, kind, version));
    }

    /// A call about an object was carried out, or refused.
    pub fn called(&self, call: &Call<'_>) {
        let (shared, caller) = (&self.shared, &self.caller());
        shared.tell(|it| it.called(shared, caller, call));
    }

    pub fn told(&self, reason: &str, note: &str) {
        self.shared.count(format!("event {reason}"));
        self.shared.trace.note(format!("event {reason}: {note}"));
    }
}
