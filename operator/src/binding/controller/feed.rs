//! What the watches ask to be looked at, for whoever makes passes at the time.
//!
//! The watches are those of the process and go on for ever: a process that waits has to know what there is once it leads. What
//! they ask for then is nobody's.

use std::sync::{Arc, Mutex};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{StreamExt, stream};

use super::passes::{Queue, request};
use crate::binding::index::Bindings;
use crate::runtime::lock::lock;

type Item = <Queue as futures::Stream>::Item;

/// Carries requests to the passes of the term. Clones are of the same feed.
#[derive(Debug, Clone, Default)]
pub struct Feed(Arc<Mutex<Option<UnboundedSender<Item>>>>);

impl Feed {
    /// The requests of a term that begins: each binding that is known once, and then what the watches ask for.
    pub fn begin(&self, bindings: &Bindings) -> Queue {
        let (sender, receiver) = unbounded();
        *lock(&self.0) = Some(sender);
        // After that, or one that comes in between would be missed.
        let mut all = bindings.all();
        all.extend(bindings.all_vanished());
        all.sort_unstable();
        let all = all.into_iter().map(|who| Ok(request(&who)));
        stream::iter(all).chain(receiver).boxed()
    }

    /// Has each binding that is known looked at once more.
    pub fn again(&self, bindings: &Bindings) {
        if let Some(term) = &*lock(&self.0) {
            for who in bindings.all() {
                // Nobody listens any more once the passes are ending.
                let _ = term.unbounded_send(Ok(request(&who)));
            }
        }
    }

    /// The term is over.
    pub fn end(&self) {
        lock(&self.0).take();
    }

    /// Polls the watches for as long as they go on. Passes end with them.
    pub async fn carry(self, mut requests: Queue) {
        while let Some(request) = requests.next().await {
            match &*lock(&self.0) {
                // Nobody listens any more once the passes are ending.
                Some(term) => drop(term.unbounded_send(request)),
                None => {
                    if let Err(error) = request {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "a watch was interrupted; it is started again");
                    }
                }
            }
        }
        self.end();
    }
}
