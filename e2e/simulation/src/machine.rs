//! What a process of the operator runs on: its clocks, whether it is stopped, and whether it reaches the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use azwib_operator::runtime::clocks::{Clocks, Moves};
use jiff::SignedDuration;

use crate::time::Time;
use crate::watched::Watched;

/// Where one process runs.
///
/// A process that is stopped computes on, but nothing leaves or reaches it, and for it the clocks stand still: what it decides
/// meanwhile it could have decided in the moment before.
#[derive(Debug)]
pub struct Machine {
    pub clocks: Clocks,
    moves: Arc<Moves>,
    stopped: Watched<bool>,
    cut_off: Watched<bool>,
    /// Its watch of bindings shows nothing.
    blind: Watched<bool>,
    /// The answers to its writes of the Lease take long.
    slow_lease: AtomicBool,
    /// The number under which it writes.
    term: AtomicU32,
    leads: AtomicBool,
    /// The process has ended, and whether by itself.
    ended: Watched<Option<bool>>,
}

impl Machine {
    /// One that runs well, for the process with this number.
    pub fn new(time: Time, number: u32) -> Self {
        let (clocks, moves) = Clocks::moved(time.now());
        Self {
            clocks,
            moves,
            stopped: Watched::new(false),
            cut_off: Watched::new(false),
            blind: Watched::new(false),
            slow_lease: AtomicBool::new(false),
            term: AtomicU32::new(number),
            leads: AtomicBool::new(false),
            ended: Watched::new(None),
        }
    }

    pub(crate) fn term(&self) -> u32 {
        self.term.load(Ordering::Relaxed)
    }

    /// It writes under this number from now on.
    pub fn in_term(&self, number: u32) {
        self.term.store(number, Ordering::Relaxed);
    }

    /// Whether the process makes passes.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Somebody sets its time of day.
    pub fn set_wall(&self, by: SignedDuration) {
        self.moves.set_wall(by);
    }

    /// The process is stopped.
    pub fn stop(&self) {
        self.moves.stop();
        self.stopped.set(true);
    }

    /// It goes on.
    pub fn go_on(&self) {
        self.moves.go_on();
        self.stopped.set(false);
    }

    /// Whether it reaches the API server.
    pub fn cut_off(&self, is_cut_off: bool) {
        self.cut_off.set(is_cut_off);
    }

    /// Whether its watch of bindings is silent.
    pub fn blind(&self, is_blind: bool) {
        self.blind.set(is_blind);
    }

    pub(crate) async fn sees_bindings(&self) {
        self.blind.wait_for(|is_blind| !is_blind).await;
    }

    /// Whether the answers to its writes of the Lease take long.
    pub fn slow_lease(&self, is_slow: bool) {
        self.slow_lease.store(is_slow, Ordering::Relaxed);
    }

    /// The process has ended by itself.
    pub fn ends(&self) {
        self.ended.set(Some(true));
    }

    /// The process has died.
    pub fn dies(&self) {
        self.ended.set(Some(false));
    }

    /// Waits until the process has ended. Whether by itself.
    pub async fn has_ended(&self) -> bool {
        self.ended.wait_for(Option::is_some).await == Some(true)
    }

    /// Nothing is in its way any more.
    pub fn clear(&self) {
        self.go_on();
        self.cut_off(false);
        self.blind(false);
        self.slow_lease(false);
    }

    pub(crate) async fn goes_on(&self) {
        self.stopped.wait_for(|is_stopped| !is_stopped).await;
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    pub(crate) async fn is_reachable(&self) {
        self.cut_off.wait_for(|is_cut_off| !is_cut_off).await;
    }

    pub(crate) fn has_slow_lease(&self) -> bool {
        self.slow_lease.load(Ordering::Relaxed)
    }
}
