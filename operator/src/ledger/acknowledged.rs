//! What Azure has acknowledged and a listing may not show yet.
//!
//! A listing that began shortly after a write may have been answered from a copy that does not know of it. For the settle
//! time the acknowledgement counts for more than such a listing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::lost_writes::Effect;
use crate::azure::{CredentialContent, ListedCredential};

/// A write that Azure has acknowledged to an earlier process, as a status says.
#[derive(Debug, Clone)]
pub struct AcknowledgedEarlier {
    /// The name of the credential.
    pub name: String,
    pub content: CredentialContent,
    /// How long ago that was.
    pub ago: Duration,
}

/// Acknowledged writes, by the name of the credential.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    writes: BTreeMap<String, Write>,
}

#[derive(Debug)]
struct Write {
    effect: Effect,
    at: Instant,
    /// A read within the settle time has shown something else.
    contradicted: bool,
}

impl Write {
    fn new(effect: Effect, at: Instant) -> Self {
        Self {
            effect,
            at,
            contradicted: false,
        }
    }
}

impl Acknowledged {
    /// Notes a write that Azure has acknowledged just now. Forgotten are those so old that no listing that began within
    /// the settle time of them is under way any more.
    pub(super) fn acknowledge(&mut self, name: &str, effect: Effect, settle_time: Duration) {
        let at = Instant::now();
        self.writes
            .retain(|_, write| at < write.at + 2 * settle_time);
        self.writes.insert(name.to_owned(), Write::new(effect, at));
    }

    /// Notes a write that Azure has acknowledged to an earlier process, at this moment. Whether nothing later is known.
    pub(super) fn acknowledged_earlier(&mut self, name: &str, effect: Effect, at: Instant) -> bool {
        if self.writes.get(name).is_some_and(|later| later.at > at) {
            return false;
        }
        self.writes.insert(name.to_owned(), Write::new(effect, at));
        true
    }

    /// The listing as it is with the writes that it may lack. `asked` is when it began.
    pub(super) fn complete(
        &mut self,
        mut listing: Vec<ListedCredential>,
        asked: Instant,
        settle_time: Duration,
    ) -> Vec<ListedCredential> {
        self.writes
            .retain(|_, write| asked < write.at + settle_time);
        for (name, write) in &self.writes {
            apply(&mut listing, name, &write.effect);
        }
        listing
    }

    /// For how long it is in doubt what stands under this name, because a read has contradicted a write of ours.
    pub(super) fn doubt(&self, name: &str, settle_time: Duration) -> Option<Duration> {
        let write = self.writes.get(name).filter(|it| it.contradicted)?;
        let left = (write.at + settle_time).saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Notes what a read at `asked` has found under this name: within the settle time of a write of ours it may be from
    /// before that. That nothing is there raises no doubt: to delete it is right in any case.
    pub(super) fn look(
        &mut self,
        name: &str,
        found: Option<&ListedCredential>,
        asked: Instant,
        settle_time: Duration,
    ) {
        let (Some(write), Some(found)) = (self.writes.get_mut(name), found) else {
            return;
        };
        let is_as_written = matches!(&write.effect, Effect::Put(written) if found.content.as_ref() == Some(written));
        write.contradicted = !is_as_written && asked < write.at + settle_time;
    }
}

/// What the listing is after this effect.
pub(super) fn apply(listing: &mut Vec<ListedCredential>, name: &str, effect: &Effect) {
    listing.retain(|credential| !credential.name.eq_ignore_ascii_case(name));
    if let Effect::Put(content) = effect {
        listing.push(ListedCredential {
            name: name.to_owned(),
            content: Some(content.clone()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    const SETTLE_TIME: Duration = Duration::from_secs(60);

    fn listed(name: &str, issuer: &str) -> ListedCredential {
        ListedCredential {
            name: name.to_owned(),
            content: Some(content(issuer)),
        }
    }

    fn content(issuer: &str) -> CredentialContent {
        CredentialContent {
            issuer: issuer.to_owned(),
            subject: "s".to_owned(),
            audiences: vec![],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_contradicts_what_was_acknowledged_is_in_doubt_for_the_settle_time() {
        let mut overlay = Acknowledged::default();
        overlay.acknowledge("written", Effect::Put(content("i")), SETTLE_TIME);
        overlay.acknowledge("deleted", Effect::Delete, SETTLE_TIME);
        tokio::time::advance(Duration::from_secs(20)).await;
        for (name, shown, doubt) in [
            ("written", Some("i"), None),
            ("written", Some("other"), Some(40)),
            ("deleted", None, None),
            ("deleted", Some("i"), Some(40)),
            ("foreign", Some("other"), None),
        ] {
            let found = shown.map(|issuer| listed(name, issuer));
            overlay.look(name, found.as_ref(), Instant::now(), SETTLE_TIME);
            let left = overlay.doubt(name, SETTLE_TIME).map(|left| left.as_secs());
            assert_eq!(left, doubt, "{name} {shown:?}");
        }
        tokio::time::advance(Duration::from_secs(40)).await;
        for name in ["written", "deleted"] {
            assert_eq!(overlay.doubt(name, SETTLE_TIME), None, "{name}");
            let other = listed(name, "other");
            overlay.look(name, Some(&other), Instant::now(), SETTLE_TIME);
            assert_eq!(overlay.doubt(name, SETTLE_TIME), None, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_process_wrote_counts_unless_something_later_is_known() {
        let (mut overlay, at) = (Acknowledged::default(), Instant::now());
        tokio::time::advance(Duration::from_secs(20)).await;
        overlay.acknowledge("deleted", Effect::Delete, SETTLE_TIME);
        for (name, counts) in [("deleted", false), ("written", true), ("written", true)] {
            let put = Effect::Put(content("i"));
            assert_eq!(
                overlay.acknowledged_earlier(name, put, at),
                counts,
                "{name}"
            );
        }
        let stale = vec![listed("deleted", "i")];
        let completed = overlay.complete(stale, Instant::now(), SETTLE_TIME);
        assert_eq!(completed, [listed("written", "i")]);
        tokio::time::advance(Duration::from_secs(40)).await;
        let later = overlay.complete(vec![], Instant::now(), SETTLE_TIME);
        assert_eq!(later, [], "the settle time counts from the acknowledgement");
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledged_write_counts_for_more_than_a_listing_that_began_shortly_after() {
        let mut overlay = Acknowledged::default();
        overlay.acknowledge("new", Effect::Put(content("i")), SETTLE_TIME);
        overlay.acknowledge("gone", Effect::Delete, SETTLE_TIME);
        overlay.acknowledge("changed", Effect::Put(content("after")), SETTLE_TIME);
        let stale = || {
            vec![
                listed("gone", "i"),
                listed("changed", "before"),
                listed("foreign", "f"),
            ]
        };
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(
            overlay.complete(stale(), Instant::now(), SETTLE_TIME),
            [
                listed("foreign", "f"),
                listed("changed", "after"),
                listed("new", "i")
            ]
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            overlay.complete(stale(), Instant::now(), SETTLE_TIME),
            stale(),
            "later the listing is believed again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_no_listing_can_lack_any_more_are_forgotten_with_the_next() {
        let mut overlay = Acknowledged::default();
        overlay.acknowledge("old", Effect::Delete, SETTLE_TIME);
        tokio::time::advance(SETTLE_TIME).await;
        overlay.acknowledge("newer", Effect::Delete, SETTLE_TIME);
        assert_eq!(overlay.writes.len(), 2, "a listing may still be under way");
        tokio::time::advance(SETTLE_TIME).await;
        overlay.acknowledge("newest", Effect::Delete, SETTLE_TIME);
        assert!(overlay.writes.keys().eq(["newer", "newest"]));
    }
}
