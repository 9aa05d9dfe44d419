//! Which request goes next where requests have to wait for Azure's pace. Pure: the time comes in.
//!
//! First looks come before repeats of known failures. Within each, namespaces take turns, so that one that wants much
//! waits for itself: a request joins the round after the last one of its namespace, and no earlier than the round that is
//! being served (start-time fair queuing, one request the unit).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::target::Operation;

/// How often requests are dropped that did not come at the time they were told.
const CLEARED_EVERY: Duration = Duration::from_secs(1);

/// What a request is for; the order is that in which they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// Nothing is known to fail.
    First,
    /// It failed before, for something that has to change first.
    Repeat,
}

/// On whose behalf a request is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) namespace: &'a str,
    pub(super) look: Look,
}

/// Where a request stands: its kind, its round, and when it came.
type Order = (Look, u64, u64);

/// A request, by the key of its identity.
pub(super) type Request = (String, Operation);

/// Those who wait for a time, in order.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    line: Vec<Order>,
    places: HashMap<Request, Place>,
    /// The rounds that have come to be served.
    served: HashMap<Look, u64>,
    /// The last round that a namespace has a request in.
    last: HashMap<(Look, String), u64>,
    came: u64,
    /// When those who did not come were last looked for.
    cleared: Option<Instant>,
}

/// A request that waits.
#[derive(Debug, Clone, Copy)]
struct Place {
    order: Order,
    /// What its own identity sets.
    not_before: Instant,
    /// When it was told to come back; others may have come before it since.
    told: Instant,
}

impl FairQueue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Whether this request waits already, and what its identity has set then.
    pub(super) fn not_before(&self, request: &Request) -> Option<Instant> {
        self.places.get(request).map(|place| place.not_before)
    }

    /// Gives a request its place, or a better one than it has, and says where that is.
    pub(super) fn join(&mut self, request: &Request, asker: Asker, not_before: Instant) -> Order {
        let order = self.next_order(asker);
        if let Some(place) = self.places.get(request) {
            if place.order <= order {
                return place.order;
            }
            let at = place.order;
            self.line.retain(|other| *other != at);
        }
        let key = (order.0, asker.namespace.to_owned());
        self.last.insert(key, order.1);
        self.came += 1;
        let at = self.line.partition_point(|other| *other < order);
        self.line.insert(at, order);
        let place = Place {
            order,
            not_before,
            told: not_before,
        };
        self.places.insert(request.clone(), place);
        order
    }

    fn next_order(&self, asker: Asker) -> Order {
        let look = asker.look;
        let served = self.served.get(&look).copied().unwrap_or_default();
        let last = self.last.get(&(look, asker.namespace.to_owned()));
        let round = 1 + last.copied().unwrap_or_default().max(served);
        (look, round, self.came)
    }

    /// How many come before this one.
    pub(super) fn ahead_of(&self, order: Order) -> usize {
        self.line.partition_point(|other| *other < order)
    }

    /// Notes when a request was told to come back.
    pub(super) fn told(&mut self, request: &Request, at: Instant) {
        if let Some(place) = self.places.get_mut(request) {
            place.told = at;
        }
    }

    /// A request goes: its round is being served.
    pub(super) fn goes(&mut self, request: &Request) {
        let Some(place) = self.places.remove(request) else {
            return;
        };
        let (look, round, _) = place.order;
        let served = self.served.entry(look).or_default();
        *served = round.max(*served);
        let at = self.line.partition_point(|other| *other < place.order);
        self.line.remove(at);
        self.forget_rounds();
    }

    /// Forgets who was to come before this moment and did not, once in a while.
    pub(super) fn forget_before(&mut self, moment: Instant) {
        if moment.saturating_duration_since(*self.cleared.get_or_insert(moment)) < CLEARED_EVERY {
            return;
        }
        self.cleared = Some(moment);
        let before = self.places.len();
        self.places.retain(|_, place| place.told >= moment);
        if self.places.len() < before {
            self.line = self.places.values().map(|place| place.order).collect();
            self.line.sort_unstable();
            self.forget_rounds();
        }
    }

    fn forget_rounds(&mut self) {
        if self.line.is_empty() {
            self.served.clear();
            self.last.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(identity: &str) -> Request {
        (identity.to_owned(), Operation::Get)
    }

    /// The order in which these go, each an identity, its namespace and its kind.
    fn order_of(queue: &mut FairQueue, asked: &[(&str, &str, Look)]) -> Vec<String> {
        let now = Instant::now();
        for (identity, namespace, look) in asked {
            let asker = Asker {
                namespace,
                look: *look,
            };
            queue.join(&request(identity), asker, now);
        }
        std::iter::from_fn(|| serve(queue)).collect()
    }

    /// Lets the first one go.
    fn serve(queue: &mut FairQueue) -> Option<String> {
        let first = *queue.line.first()?;
        let (request, _) = queue.places.iter().find(|(_, it)| it.order == first)?;
        let request = request.clone();
        queue.goes(&request);
        Some(request.0)
    }

    #[tokio::test]
    async fn first_looks_go_before_repeats_and_namespaces_take_turns() {
        use Look::{First, Repeat};
        for (asked, expected) in [
            (vec![], vec![]),
            (vec![("a", "x", Repeat), ("b", "x", First)], vec!["b", "a"]),
            (
                vec![
                    ("a", "x", First),
                    ("b", "x", First),
                    ("c", "x", First),
                    ("d", "y", First),
                    ("e", "z", First),
                    ("f", "y", First),
                ],
                vec!["a", "d", "e", "b", "f", "c"],
            ),
            (
                vec![
                    ("a", "x", Repeat),
                    ("b", "x", Repeat),
                    ("c", "y", Repeat),
                    ("d", "y", First),
                ],
                vec!["d", "a", "c", "b"],
            ),
            // Asked for once more it keeps its place; by who comes sooner it gets theirs.
            (
                vec![
                    ("a", "x", First),
                    ("b", "x", First),
                    ("c", "x", First),
                    ("a", "x", First),
                    ("c", "y", First),
                    ("b", "x", Repeat),
                ],
                vec!["a", "c", "b"],
            ),
        ] {
            let mut queue = FairQueue::default();
            assert_eq!(order_of(&mut queue, &asked), expected, "{asked:?}");
            assert!(queue.places.is_empty() && queue.last.is_empty());
        }
    }

    #[tokio::test]
    async fn who_comes_later_is_served_after_one_request_of_whoever_has_many() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        let ask = |queue: &mut FairQueue, identity: &str, namespace: &str| {
            let asker = Asker {
                namespace,
                look: Look::Repeat,
            };
            queue.join(&request(identity), asker, now)
        };
        for number in 0..1000 {
            ask(&mut queue, &format!("many-{number:04}"), "many");
        }
        for _ in 0..500 {
            serve(&mut queue);
        }
        let order = ask(&mut queue, "one", "innocent");
        assert_eq!(queue.ahead_of(order), 1);
        // It had its turn, and comes again: no sooner than before.
        serve(&mut queue);
        assert_eq!(serve(&mut queue).as_deref(), Some("one"));
        let order = ask(&mut queue, "one", "innocent");
        assert_eq!(queue.ahead_of(order), 1);
    }

    #[tokio::test]
    async fn who_does_not_come_when_told_loses_the_place() {
        let (mut queue, now) = (FairQueue::default(), Instant::now());
        let asker = Asker {
            namespace: "x",
            look: Look::First,
        };
        for (identity, seconds) in [("late", 1), ("in time", 9)] {
            queue.join(&request(identity), asker, now);
            queue.told(&request(identity), now + Duration::from_secs(seconds));
        }
        queue.forget_before(now);
        queue.forget_before(now + Duration::from_secs(5));
        assert_eq!(serve(&mut queue).as_deref(), Some("in time"));
        assert!(queue.is_empty());
    }
}
