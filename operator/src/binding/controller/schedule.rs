//! What is to be looked at when, and whose turn it is. Pure: the time comes in.
//!
//! The rules are those of kube-runtime's controller: one entry an object, the earliest time counts, and none is looked at
//! twice at once. What that does not have are bulkheads: with it, the objects of one namespace whose API calls hang hold
//! every worker, and those of all others wait. Here each namespace has a line of its own, they come in turn, and a namespace
//! is given another worker only while fewer are at work for it than are free. One alone has half of them, a second one half
//! of the rest, and so on: some are left for whoever comes next.
//!
//! Halves come to an end: a handful of namespaces whose calls hang would hold all. So a look that takes long gives its worker
//! back while it goes on, and a namespace with several such looks is given no more.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::binding::workqueue::WorkqueueMetrics;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

/// A look that takes longer waits for an answer, and needs no worker for that.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// So many slow looks may be under way for each worker: they take memory.
const SLOW_FOR_EACH_WORKER: usize = 8;

/// A namespace may have slow looks for this part of the workers, and is given no other while it has so many.
const SLOW_IN_NAMESPACE: usize = 8;

/// When each object is looked at.
#[derive(Debug)]
pub struct Schedule {
    /// How many may be looked at at once, but for those that take long.
    workers: usize,
    /// Those that are being looked at, but for those that take long, by when that began.
    quick: BTreeSet<(Instant, Arc<BindingRef>)>,
    slow: usize,
    objects: HashMap<Arc<BindingRef>, Entry>,
    /// Those whose time has not come.
    due: BTreeSet<(Instant, Arc<BindingRef>)>,
    namespaces: HashMap<String, Namespace>,
    /// The namespaces with somebody in their line, in the order in which they come.
    turns: VecDeque<String>,
    metrics: WorkqueueMetrics,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    /// Since when its time has come, if it was not looked at since.
    ready: Option<Instant>,
    /// Since when it is being looked at.
    running: Option<Instant>,
}

#[derive(Debug, Default)]
struct Namespace {
    /// Those whose time has come, but for those that are being looked at.
    line: VecDeque<Arc<BindingRef>>,
    /// Those that are being looked at.
    busy: usize,
    /// Those of them that take long.
    slow: usize,
}

impl Schedule {
    /// Nothing is due, and so many may be looked at at once, at least one.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            quick: BTreeSet::new(),
            slow: 0,
            objects: HashMap::new(),
            due: BTreeSet::new(),
            namespaces: HashMap::new(),
            turns: VecDeque::new(),
            metrics: WorkqueueMetrics::default(),
        }
    }

    /// The same, counted by these.
    pub fn counted_by(self, metrics: WorkqueueMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Has an object looked at at this time, or earlier where that was asked for before.
    pub fn ask(&mut self, who: impl Into<Arc<BindingRef>>, at: Instant) {
        let who = who.into();
        let who = match self.objects.get_key_value(&who) {
            Some((known, _)) => Arc::clone(known),
            None => who,
        };
        let entry = self.objects.entry(Arc::clone(&who)).or_default();
        if entry.ready.is_some() || entry.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(later) = entry.due.replace(at) {
            self.due.remove(&(later, Arc::clone(&who)));
        }
        self.due.insert((at, who));
    }

    /// Who is to be looked at now, if anybody is and a worker is free for it: [`Self::ended`] has to follow.
    pub fn start(&mut self, now: Instant) -> Option<BindingRef> {
        self.advance(now);
        let free = self.free();
        if free == 0 {
            return None;
        }
        let most_slow = (self.workers / SLOW_IN_NAMESPACE).max(1);
        for _ in 0..self.turns.len() {
            let name = self.turns.pop_front()?;
            let Some(namespace) = self.namespaces.get_mut(&name) else {
                continue;
            };
            let may_start = namespace.busy < free && namespace.slow < most_slow;
            let next = if may_start || Bug::NoBulkheads.is_on() {
                namespace.line.pop_front()
            } else {
                None
            };
            namespace.busy += usize::from(next.is_some());
            if !namespace.line.is_empty() {
                self.turns.push_back(name);
            }
            let Some(who) = next else { continue };
            if let Some(entry) = self.objects.get_mut(&who) {
                let ready = entry.ready.take().unwrap_or(now);
                entry.running = Some(now);
                self.metrics.started(&who, now, now.duration_since(ready));
            }
            self.quick.insert((now, Arc::clone(&who)));
            return Some(BindingRef::clone(&who));
        }
        None
    }

    /// How many workers are left.
    fn free(&self) -> usize {
        let has_room = self.slow < self.workers * SLOW_FOR_EACH_WORKER;
        let free = self.workers.saturating_sub(self.quick.len());
        if has_room { free } else { 0 }
    }

    /// When the next one may be due for which nothing else has to end.
    pub fn next_due(&self) -> Option<Instant> {
        let is_full = self.free() == 0;
        let due = self.due.first().filter(|_| !is_full).map(|(at, _)| *at);
        let waits = !self.turns.is_empty() || is_full && !self.due.is_empty();
        let given_back = self.quick.first().filter(|_| waits);
        let given_back = given_back.map(|(since, _)| *since + SLOW_AFTER);
        due.into_iter().chain(given_back).min()
    }

    /// The look at this object is over.
    pub fn ended(&mut self, who: &BindingRef) {
        let Some((who, _)) = self.objects.get_key_value(who) else {
            return;
        };
        let who = Arc::clone(who);
        let Some(entry) = self.objects.get_mut(&who) else {
            return;
        };
        let Some(since) = entry.running.take() else {
            return;
        };
        self.metrics.ended(&who, since);
        let (is_ready, is_due) = (entry.ready.is_some(), entry.due.is_some());
        let was_slow = !self.quick.remove(&(since, Arc::clone(&who)));
        self.slow -= usize::from(was_slow);
        if let Some(namespace) = self.namespaces.get_mut(&who.namespace) {
            namespace.busy -= 1;
            namespace.slow -= usize::from(was_slow);
        }
        if is_ready {
            self.enqueue(who);
            return;
        }
        let is_done = |namespace: &Namespace| namespace.busy == 0 && namespace.line.is_empty();
        if self.namespaces.get(&who.namespace).is_some_and(is_done) {
            self.namespaces.remove(&who.namespace);
        }
        if !is_due {
            self.objects.remove(&who);
        }
    }

    /// Puts those in line whose time has come, and takes the workers of those back that take long.
    fn advance(&mut self, now: Instant) {
        while let Some((since, _)) = self.quick.first()
            && *since + SLOW_AFTER <= now
            && let Some((_, who)) = self.quick.pop_first()
        {
            self.slow += 1;
            if let Some(namespace) = self.namespaces.get_mut(&who.namespace) {
                namespace.slow += 1;
            }
        }
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((at, who)) = self.due.pop_first()
        {
            let Some(entry) = self.objects.get_mut(&who) else {
                continue;
            };
            (entry.due, entry.ready) = (None, Some(at));
            self.metrics.added();
            // Otherwise it comes once the look that is under way is over.
            if entry.running.is_none() {
                self.enqueue(who);
            }
        }
    }

    fn enqueue(&mut self, who: Arc<BindingRef>) {
        let namespace = self.namespaces.entry(who.namespace.clone()).or_default();
        if namespace.line.is_empty() {
            self.turns.push_back(who.namespace.clone());
        }
        namespace.line.push_back(who);
    }
}

#[cfg(test)]
mod tests;
