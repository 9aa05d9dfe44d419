//! Who waits for one of the credentials that an identity may have, and what is promised of them.

mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::CredentialName;

use super::books::Ledger;
use super::decide::Applicant;
use super::who::{BindingRef, Writer};
use crate::azure::ListedCredential;
pub(super) use waiting::Waiting;

impl Ledger {
    /// The names of the credentials that others are about to create.
    pub fn promised(&self) -> BTreeSet<String> {
        self.books().queue.promised()
    }

    /// The subjects of these credentials.
    pub fn promised_subjects(&self) -> BTreeSet<String> {
        self.books().queue.promised_subjects()
    }

    /// Whether somebody else is about to delete the credential of this name. Then `who` comes after that.
    pub fn awaits_deletion(&self, who: &Writer, name: &CredentialName) -> bool {
        let mut books = self.books();
        let going = books.queue.is_going(name.as_str());
        if going {
            books.queue.wait(who);
        }
        going
    }

    /// Notes that this applicant finds no slot: its binding is woken when there may be one for it. Where all were in use, and one
    /// has been freed since that was looked at, that is now.
    pub fn wait_for_slot(self: &Arc<Self>, applicant: &Applicant, all_in_use: bool) {
        self.books().without_slot.wait(applicant);
        if all_in_use && self.listing.peek(|listing| self.free(listing)) > Some(0) {
            self.wake_without_slot();
        }
    }

    /// Slots that are neither used nor promised.
    fn free(&self, listing: &[ListedCredential]) -> usize {
        let listed = |name: &String| listing.iter().any(|it| it.name.eq_ignore_ascii_case(name));
        let promised = self.promised();
        let used = listing.len() + promised.iter().filter(|name| !listed(name)).count();
        let limit = self.shared.settings.credential_limit;
        limit.saturating_sub(used)
    }

    /// Wakes who comes first of those that wait, as many as find a slot. Where nobody knows how many that are, one is woken:
    /// it lists the credentials, and that wakes the others.
    pub(super) fn wake_without_slot(self: &Arc<Self>) {
        let free = self.listing.peek(|listing| self.free(listing));
        let called = self.books().without_slot.call(free.unwrap_or(1));
        self.offer(called);
    }

    /// Wakes who finds a slot by this listing, or what it applies for.
    pub(super) fn wake_by(self: &Arc<Self>, listing: &[ListedCredential]) {
        let free = self.free(listing);
        let mut books = self.books();
        let mut called = books.without_slot.decided_by(listing);
        called.extend(books.without_slot.call(free));
        drop(books);
        self.offer(called);
    }

    /// The pass that an offer has brought about is over. Where the binding is no applicant any more, the offer goes to the next; an
    /// applicant that stays has taken it, or keeps all who stand behind it from it. Who waits again has found none, whatever its
    /// status says: that may be refused.
    pub(super) fn offer_passed(self: &Arc<Self>, who: &BindingRef, still_applies: bool) {
        let mut books = self.books();
        let was_offered = books.without_slot.answered(who);
        let waits = books.without_slot.contains(who);
        drop(books);
        if was_offered && !still_applies && !waits {
            self.wake_without_slot();
        }
    }

    fn offer(self: &Arc<Self>, called: Vec<BindingRef>) {
        for who in &called {
            self.expect(who);
        }
        self.wake(called);
    }
}
