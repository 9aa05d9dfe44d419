//! The calls that pass the proxy, and those that it holds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use azure_simulator::control::api::{HoldState, When};
use globset::{GlobBuilder, GlobMatcher};
use tokio::sync::watch;

use crate::wait::PATIENCE;

/// Chooses calls.
#[derive(Debug, Clone)]
pub struct CallMatcher {
    /// HTTP method, in capitals.
    pub method: String,
    /// A glob over the path, subresources included: `*` is any text within a segment, `**` any number of segments.
    pub path: String,
}

/// How slow calls are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    /// So much later they reach the API server.
    pub by: Duration,
    /// Whether they also do so where their caller has left meanwhile: a network may deliver what it has taken.
    pub lands: bool,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// What the API server answered, once it has.
    pub status: Option<u16>,
}

impl CallRecord {
    /// Whether it was to change something.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// Whether the API server did what it was asked to.
    pub fn is_accepted(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// A call that the proxy holds once it comes.
#[derive(Debug)]
pub struct HeldCall {
    state: watch::Sender<HoldState>,
}

impl HeldCall {
    /// Waits until the call is held.
    ///
    /// # Errors
    /// It does not come in time.
    pub async fn reached(&self) -> anyhow::Result<()> {
        let mut state = self.state.subscribe();
        let reached = state.wait_for(|state| *state != HoldState::Waiting);
        let state = tokio::time::timeout(PATIENCE, reached).await;
        let state = *state.context("waited in vain for the call")??;
        ensure!(state == HoldState::Reached, "the call is {state:?}");
        Ok(())
    }

    /// Whether its caller went away while it was held.
    pub fn is_abandoned(&self) -> bool {
        *self.state.borrow() == HoldState::CallerGone
    }

    /// Lets the call go.
    ///
    /// # Errors
    /// It was not held: it never came, or its caller has gone.
    pub fn release(self) -> anyhow::Result<()> {
        let state = self.state.send_replace(HoldState::Released);
        ensure!(state == HoldState::Reached, "the call is {state:?}");
        Ok(())
    }
}

/// All calls and holds.
#[derive(Debug, Default)]
pub(super) struct Calls {
    state: Mutex<State>,
    /// The paths whose watches show nothing.
    silent: watch::Sender<Option<GlobMatcher>>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<CallRecord>,
    holds: Vec<Rule>,
    slow: Vec<(Chosen, Slow)>,
}

fn glob(path: &str) -> anyhow::Result<GlobMatcher> {
    let path = GlobBuilder::new(path).literal_separator(true).build()?;
    Ok(path.compile_matcher())
}

/// The calls of a matcher.
#[derive(Debug)]
struct Chosen {
    method: String,
    path: GlobMatcher,
}

impl Chosen {
    fn new(matcher: &CallMatcher) -> anyhow::Result<Self> {
        Ok(Self {
            method: matcher.method.clone(),
            path: glob(&matcher.path)?,
        })
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.is_match(path)
    }
}

#[derive(Debug)]
struct Rule {
    chosen: Chosen,
    /// Matching calls that are still to come, the one to hold included.
    left: u64,
    when: When,
    state: watch::Sender<HoldState>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records(&self) -> Vec<CallRecord> {
        self.lock().records.clone()
    }

    pub(super) fn hold(
        &self,
        matcher: &CallMatcher,
        nth: u64,
        when: When,
    ) -> anyhow::Result<HeldCall> {
        ensure!(nth > 0, "calls are counted from 1");
        let chosen = Chosen::new(matcher)?;
        let state = watch::Sender::new(HoldState::Waiting);
        self.lock().holds.push(Rule {
            chosen,
            left: nth,
            when,
            state: state.clone(),
        });
        Ok(HeldCall { state })
    }

    pub(super) fn slow_down(&self, matcher: &CallMatcher, slow: Slow) -> anyhow::Result<()> {
        let chosen = Chosen::new(matcher)?;
        self.lock().slow.push((chosen, slow));
        Ok(())
    }

    pub(super) fn speed_up(&self) {
        self.lock().slow.clear();
    }

    pub(super) fn silence_watches(&self, path: &str) -> anyhow::Result<()> {
        self.silent.send_replace(Some(glob(path)?));
        Ok(())
    }

    pub(super) fn end_silence(&self) {
        self.silent.send_replace(None);
    }

    /// Waits until a watch of this path may show something.
    pub(super) fn may_show(&self, path: String) -> impl Future<Output = ()> + Send + use<> {
        let mut silent = self.silent.subscribe();
        async move {
            let is_open =
                |silent: &Option<GlobMatcher>| silent.as_ref().is_none_or(|it| !it.is_match(&path));
            // The sender is gone with the proxy.
            let _ = silent.wait_for(is_open).await;
        }
    }

    /// How much later such a call reaches the API server.
    pub(super) fn delay(&self, method: &str, path: &str) -> Option<Slow> {
        let state = self.lock();
        let rule = state
            .slow
            .iter()
            .find(|(chosen, _)| chosen.matches(method, path));
        rule.map(|(_, slow)| *slow)
    }

    /// Notes a call that has come.
    pub(super) fn arrived(&self, method: &str, path: &str) -> Passage<'_> {
        let mut state = self.lock();
        let mut hold = None;
        state.holds.retain_mut(|rule| {
            if !rule.chosen.matches(method, path) {
                return true;
            }
            rule.left -= 1;
            if rule.left > 0 {
                return true;
            }
            if hold.is_some() {
                // It takes the next one.
                rule.left = 1;
                return true;
            }
            hold = Some((rule.when, rule.state.clone()));
            false
        });
        let number = state.records.len();
        state.records.push(CallRecord {
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
        });
        Passage {
            calls: self,
            number,
            hold,
        }
    }
}

/// One call on its way through the proxy.
pub(super) struct Passage<'a> {
    calls: &'a Calls,
    number: usize,
    hold: Option<(When, watch::Sender<HoldState>)>,
}

impl Passage<'_> {
    /// Waits where a hold says so. When the caller goes away meanwhile, the future is dropped.
    pub(super) async fn pass(&self, moment: When) {
        let Some((when, state)) = &self.hold else {
            return;
        };
        if *when != moment {
            return;
        }
        move_on(state, HoldState::Waiting, HoldState::Reached);
        let _caller = CallerGone(state);
        // The sender is at hand: the channel cannot be closed.
        let _ = state
            .subscribe()
            .wait_for(|state| *state == HoldState::Released)
            .await;
    }

    pub(super) fn answered(&self, status: u16) {
        if let Some(record) = self.calls.lock().records.get_mut(self.number) {
            record.status = Some(status);
        }
    }
}

/// Notes a caller that left before the release.
struct CallerGone<'a>(&'a watch::Sender<HoldState>);

impl Drop for CallerGone<'_> {
    fn drop(&mut self) {
        move_on(self.0, HoldState::Reached, HoldState::CallerGone);
    }
}

fn move_on(state: &watch::Sender<HoldState>, from: HoldState, to: HoldState) {
    state.send_if_modified(|state| {
        let moves = *state == from;
        if moves {
            *state = to;
        }
        moves
    });
}
