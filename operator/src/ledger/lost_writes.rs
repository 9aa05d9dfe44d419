//! Writes whose answer was lost: Azure may still carry them out.
//!
//! Nothing is written to the identity until a read that began after the loss shows the effect, or the settle time has
//! passed since the request was sent. To write earlier would be to guess.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use tokio::time::Instant;

use crate::azure::{CredentialContent, ListedCredential};
use crate::runtime::deliberate::Bug;

/// What a write was to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Put(CredentialContent),
    Delete,
    /// The deletion of a credential that no read has shown: a listing without it does not prove that the deletion is done.
    DeleteUnseen,
}

/// The lost writes of one identity, by the name of the credential.
#[derive(Debug, Default)]
pub(super) struct LostWrites {
    writes: HashMap<String, LostWrite>,
    /// When the last of those was settled that no read has shown.
    settled_unseen: Option<Instant>,
}

#[derive(Debug)]
struct LostWrite {
    effect: Effect,
    sent: Instant,
    lost: Instant,
}

impl LostWrites {
    /// Notes a write that was sent and whose answer was lost just now.
    pub(super) fn lost(&mut self, name: &str, effect: Effect, sent: Instant) {
        let lost = Instant::now();
        self.writes
            .insert(name.to_owned(), LostWrite { effect, sent, lost });
    }

    /// Notes a write that an earlier process may have sent, at the latest when this one started. Of a PUT and a deletion of the
    /// same credential the deletion counts: no read settles it.
    pub(super) fn assume(&mut self, name: &str, effect: Effect, started: Instant) {
        let write = LostWrite {
            effect,
            sent: started,
            lost: started,
        };
        let is_deletion = write.effect == Effect::DeleteUnseen;
        match self.writes.entry(name.to_owned()) {
            Entry::Vacant(place) => drop(place.insert(write)),
            // What this process has lost itself was sent later, and takes longer to settle.
            Entry::Occupied(mut place) if is_deletion && place.get().sent <= started => {
                place.insert(write);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Forgets what a listing that was asked for at `asked` shows to have happened. Whether anything was forgotten.
    pub(super) fn settle(&mut self, listing: &[ListedCredential], asked: Instant) -> bool {
        let before = self.writes.len();
        self.writes
            .retain(|name, write| asked < write.lost || !shows(listing, name, &write.effect));
        self.writes.len() < before
    }

    /// When the last of those that are open was lost.
    pub(super) fn lost_at(&mut self, settle_time: Duration) -> Option<Instant> {
        self.open_for(settle_time)?;
        self.writes.values().map(|write| write.lost).max()
    }

    /// Since when a listing shows what became of those that were settled by time alone. One that was asked for before may
    /// lack what Azure carried out after it.
    pub(super) fn settled_unseen(&mut self, settle_time: Duration) -> Option<Instant> {
        self.open_for(settle_time);
        self.settled_unseen
    }

    /// No listing is believed that was asked for before this moment.
    pub(super) fn distrust_before(&mut self, moment: Instant) {
        self.settled_unseen = self.settled_unseen.max(Some(moment));
    }

    /// How long until a deletion of this credential is settled by time; None when none is open.
    pub(super) fn deletion_open_for(
        &mut self,
        name: &str,
        settle_time: Duration,
    ) -> Option<Duration> {
        self.open_for(settle_time)?;
        let write = self.writes.get(name)?;
        let is_deletion = !matches!(write.effect, Effect::Put(_));
        is_deletion.then(|| settle_time.saturating_sub(write.sent.elapsed()))
    }

    /// How long until the last of them is settled by time; None when nothing is open.
    pub(super) fn open_for(&mut self, settle_time: Duration) -> Option<Duration> {
        if Bug::NoSettleTime.is_on() {
            self.writes.clear();
        }
        self.writes.retain(|_, write| {
            let is_open = write.sent.elapsed() < settle_time;
            if !is_open {
                self.settled_unseen = self.settled_unseen.max(Some(write.sent + settle_time));
            }
            is_open
        });
        self.writes
            .values()
            .map(|write| settle_time.saturating_sub(write.sent.elapsed()))
            .max()
    }
}

fn shows(listing: &[ListedCredential], name: &str, effect: &Effect) -> bool {
    let listed = listing
        .iter()
        .find(|credential| credential.name.eq_ignore_ascii_case(name));
    match (effect, listed) {
        (Effect::Put(content), Some(credential)) => credential.content.as_ref() == Some(content),
        (Effect::Delete, None) => true,
        (Effect::Put(_), None) | (Effect::Delete, Some(_)) | (Effect::DeleteUnseen, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE_TIME: Duration = Duration::from_secs(60);

    fn content() -> CredentialContent {
        CredentialContent {
            issuer: "i".to_owned(),
            subject: "s".to_owned(),
            audiences: vec![],
        }
    }

    fn listed() -> [ListedCredential; 1] {
        [ListedCredential {
            name: "ours".to_owned(),
            content: Some(content()),
        }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_write_is_settled_by_a_later_read_that_shows_it() {
        for (effect, shown, not_shown) in [
            (Effect::Put(content()), listed().to_vec(), vec![]),
            (Effect::Delete, vec![], listed().to_vec()),
        ] {
            let mut lost_writes = LostWrites::default();
            let sent = Instant::now();
            tokio::time::advance(Duration::from_secs(30)).await;
            lost_writes.lost("ours", effect, sent);
            assert!(
                !lost_writes.settle(&shown, sent),
                "a read that began before the loss proves nothing"
            );
            assert!(
                !lost_writes.settle(&not_shown, Instant::now()),
                "it may still be carried out"
            );
            assert_eq!(
                lost_writes.open_for(SETTLE_TIME),
                Some(Duration::from_secs(30))
            );
            assert!(lost_writes.settle(&shown, Instant::now()));
            assert_eq!(lost_writes.open_for(SETTLE_TIME), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_deletion_of_what_was_not_there_is_settled_by_time_only() {
        let mut lost_writes = LostWrites::default();
        lost_writes.lost("ours", Effect::DeleteUnseen, Instant::now());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!lost_writes.settle(&[], Instant::now()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(lost_writes.open_for(SETTLE_TIME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_write_is_settled_by_time_from_when_it_was_sent() {
        let mut lost_writes = LostWrites::default();
        lost_writes.lost("ours", Effect::Delete, Instant::now());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(
            lost_writes.open_for(SETTLE_TIME),
            Some(Duration::from_secs(1))
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lost_writes.open_for(SETTLE_TIME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_settled_by_time_asks_for_a_listing_from_then_on() {
        let mut lost_writes = LostWrites::default();
        let sent = Instant::now();
        lost_writes.lost("ours", Effect::Put(content()), sent);
        lost_writes.lost("seen", Effect::Put(content()), sent);
        assert_eq!(lost_writes.settled_unseen(SETTLE_TIME), None);
        tokio::time::advance(SETTLE_TIME).await;
        assert_eq!(
            lost_writes.settled_unseen(SETTLE_TIME),
            Some(sent + SETTLE_TIME)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_process_may_have_sent_does_not_replace_what_this_one_lost() {
        let started = Instant::now();
        tokio::time::advance(Duration::from_secs(50)).await;
        let mut lost_writes = LostWrites::default();
        lost_writes.lost("ours", Effect::Put(content()), Instant::now());
        lost_writes.assume("ours", Effect::Put(content()), started);
        assert_eq!(lost_writes.open_for(SETTLE_TIME), Some(SETTLE_TIME));
        lost_writes.assume("other", Effect::Put(content()), started);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            lost_writes.open_for(SETTLE_TIME),
            Some(Duration::from_secs(50))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_counts_for_its_own_credential_alone_and_until_it_is_settled() {
        let mut lost_writes = LostWrites::default();
        lost_writes.lost("made", Effect::Put(content()), Instant::now());
        lost_writes.lost("ours", Effect::Delete, Instant::now());
        tokio::time::advance(Duration::from_secs(20)).await;
        for (name, open_for) in [
            ("made", None),
            ("other", None),
            ("ours", Some(Duration::from_secs(40))),
        ] {
            let found = lost_writes.deletion_open_for(name, SETTLE_TIME);
            assert_eq!(found, open_for, "{name}");
        }
        lost_writes.settle(&[], Instant::now());
        assert_eq!(lost_writes.deletion_open_for("ours", SETTLE_TIME), None);
    }
}
