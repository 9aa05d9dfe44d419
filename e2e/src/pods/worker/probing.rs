//! A container is probed, and killed where its probes say so.

use futures::future::join_all;
use tokio::time::{Instant, timeout};

use super::Worker;
use crate::pods::container::stop;
use crate::pods::network;
use crate::pods::probes::{Kind, Prober};

impl Worker {
    /// Makes the probes whose time has come.
    pub(super) async fn probe(&mut self) {
        let (now, is_started) = (Instant::now(), self.passes(Kind::Startup));
        let runs_for = self.process.as_ref().map(|it| it.since.elapsed());
        // Without a sandbox there is no process, and no probe is made.
        let network = self.sandbox.as_ref().map(|it| &*it.socket);
        let network = network.unwrap_or(&self.folder);
        let mut due = Vec::new();
        for prober in self.probers.iter_mut().filter(|it| it.next <= now) {
            let is_its_turn = (prober.kind == Kind::Startup) != is_started;
            if prober.is_made(now, runs_for) && is_its_turn {
                due.push(prober);
            }
        }
        // One that gets no answer does not hold up the others.
        let made = due.into_iter().map(|prober| async {
            let get = network::get(network, prober.port, &prober.path);
            let answer = timeout(prober.timeout, get).await;
            prober.count(matches!(answer, Ok(Ok((200..400, _)))));
        });
        join_all(made).await;
        self.judge();
        let is_dead = |it: &Prober| it.kind != Kind::Readiness && it.has_failed();
        if self.probers.iter().any(is_dead)
            && let Some(running) = &self.process
        {
            let grace = self.grace();
            if let Ok(exit) = stop(&running.process, grace).await {
                self.exited(exit);
            }
        }
    }

    /// Whether the probe of this kind has passed; without one, it has.
    fn passes(&self, kind: Kind) -> bool {
        let mut of_kind = self.probers.iter().filter(|it| it.kind == kind);
        of_kind.all(Prober::passes)
    }

    /// Takes the results over into the status.
    pub(super) fn judge(&mut self) {
        let runs = self.process.is_some();
        self.facts.started = runs && self.passes(Kind::Startup);
        self.facts.ready = self.facts.started && self.passes(Kind::Readiness);
    }
}
