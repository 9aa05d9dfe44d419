//! Work that is done for several objects at once, and for each in the order in which it came.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::Receiver;

/// How far ahead of what is under way the queue is looked through for another object.
const LOOK_AHEAD: usize = 64;

/// Does the work of a queue until that is closed and empty: for `at_once` objects at a time, and for each in order.
pub(super) async fn for_each_in_order<'a, T, K: Hash + Eq + Clone>(
    queue: &mut Receiver<T>,
    at_once: usize,
    object: impl Fn(&T) -> K,
    work: impl Fn(T) -> BoxFuture<'a, ()>,
) {
    let mut waiting = VecDeque::new();
    let mut busy = HashSet::new();
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    loop {
        while running.len() < at_once {
            let next = waiting.iter().position(|it| !busy.contains(&object(it)));
            let Some(next) = next.and_then(|next| waiting.remove(next)) else {
                break;
            };
            let object = object(&next);
            busy.insert(object.clone());
            let done = work(next);
            running.push(async move {
                done.await;
                object
            });
        }
        tokio::select! {
            // Nothing here is left to chance: a simulation has to come out the same again.
            biased;
            Some(object) = running.next() => {
                busy.remove(&object);
            }
            next = queue.recv(), if is_open && waiting.len() < LOOK_AHEAD => match next {
                Some(next) => waiting.push_back(next),
                None => is_open = false,
            },
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Each of these takes one second for its object.
    async fn done(items: &[(&'static str, u32)], at_once: usize) -> Vec<(&'static str, u32, u64)> {
        let (sender, mut queue) = mpsc::channel(items.len().max(1));
        for item in items {
            sender.try_send(*item).unwrap();
        }
        drop(sender);
        let began = Instant::now();
        let done = Mutex::new(vec![]);
        for_each_in_order(
            &mut queue,
            at_once,
            |(object, _)| *object,
            |(object, number)| {
                let done = &done;
                async move {
                    sleep(Duration::from_secs(1)).await;
                    let second = began.elapsed().as_secs();
                    done.lock().unwrap().push((object, number, second));
                }
                .boxed()
            },
        )
        .await;
        let mut done = done.into_inner().unwrap();
        done.sort();
        done
    }

    #[tokio::test(start_paused = true)]
    async fn one_object_waits_for_no_other_and_its_own_things_come_in_order() {
        let items = [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("c", 1)];
        assert_eq!(
            done(&items, 2).await,
            [
                ("a", 1, 1),
                ("a", 2, 2),
                ("a", 3, 3),
                ("b", 1, 1),
                ("c", 1, 2)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_queue_that_is_closed_ends_at_once() {
        assert_eq!(done(&[], 2).await, []);
    }
}
