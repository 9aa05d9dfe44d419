//! What is to be looked at when, and whose turn it is. Pure: the time comes in.
//!
//! The rules are those of kube-runtime's controller: one entry an object, the earliest time counts, and none is looked at
//! twice at once. What that does not have are bulkheads: with it, the objects of one namespace whose API calls hang hold
//! every worker, and those of all others wait. Here each namespace has a line of its own, they come in turn, and a namespace
//! is given another worker only while fewer are at work for it than are free. One alone has half of them, a second one half
//! of the rest, and so on: some are left for whoever comes next.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::ledger::BindingRef;

/// When each object is looked at.
#[derive(Debug)]
pub struct Schedule {
    /// How many may be looked at at once.
    workers: usize,
    busy: usize,
    objects: HashMap<Arc<BindingRef>, Entry>,
    /// Those whose time has not come.
    due: BTreeSet<(Instant, Arc<BindingRef>)>,
    namespaces: HashMap<String, Namespace>,
    /// The namespaces with somebody in their line, in the order in which they come.
    turns: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    /// Its time has come, and it was not looked at since.
    is_ready: bool,
    is_running: bool,
}

#[derive(Debug, Default)]
struct Namespace {
    /// Those whose time has come, but for those that are being looked at.
    line: VecDeque<Arc<BindingRef>>,
    busy: usize,
}

impl Schedule {
    /// Nothing is due, and so many may be looked at at once.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            busy: 0,
            objects: HashMap::new(),
            due: BTreeSet::new(),
            namespaces: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Has an object looked at at this time, or earlier where that was asked for before.
    pub fn ask(&mut self, who: BindingRef, at: Instant) {
        let who = match self.objects.get_key_value(&who) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(who),
        };
        let entry = self.objects.entry(Arc::clone(&who)).or_default();
        if entry.is_ready || entry.due.is_some_and(|due| due <= at) {
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
        let free = self.workers.saturating_sub(self.busy);
        if free == 0 {
            return None;
        }
        for _ in 0..self.turns.len() {
            let name = self.turns.pop_front()?;
            let Some(namespace) = self.namespaces.get_mut(&name) else {
                continue;
            };
            let next = if may_start(namespace.busy, free) {
                namespace.line.pop_front()
            } else {
                None
            };
            namespace.busy += usize::from(next.is_some());
            if !namespace.line.is_empty() {
                self.turns.push_back(name);
            }
            let Some(who) = next else { continue };
            self.busy += 1;
            if let Some(entry) = self.objects.get_mut(&who) {
                (entry.is_ready, entry.is_running) = (false, true);
            }
            return Some(BindingRef::clone(&who));
        }
        None
    }

    /// When the next one is due for which nothing else has to end.
    pub fn next_due(&self) -> Option<Instant> {
        let (at, _) = self.due.first()?;
        (self.busy < self.workers).then_some(*at)
    }

    /// The look at this object is over.
    pub fn ended(&mut self, who: &BindingRef) {
        let Some((who, _)) = self.objects.get_key_value(who) else {
            return;
        };
        let who = Arc::clone(who);
        let Some(entry) = self.objects.get_mut(&who).filter(|it| it.is_running) else {
            return;
        };
        entry.is_running = false;
        let (is_ready, is_due) = (entry.is_ready, entry.due.is_some());
        self.busy -= 1;
        if let Some(namespace) = self.namespaces.get_mut(&who.namespace) {
            namespace.busy -= 1;
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

    /// Puts those in line whose time has come.
    fn advance(&mut self, now: Instant) {
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, who)) = self.due.pop_first()
        {
            let Some(entry) = self.objects.get_mut(&who) else {
                continue;
            };
            (entry.due, entry.is_ready) = (None, true);
            // Otherwise it comes once the look that is under way is over.
            if !entry.is_running {
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

/// Whether a namespace for which so many are at work is given one of the workers that are free.
fn may_start(busy: usize, free: usize) -> bool {
    busy < free
}

#[cfg(test)]
mod tests;
