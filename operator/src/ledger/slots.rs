//! Who waits for one of the credentials that an identity may have, and what is promised of them.

use std::collections::BTreeSet;

use azwib_crds::CredentialName;

use super::{Applicant, BindingRef, Ledger, lock};

impl Ledger {
    /// The names of the credentials that others are about to create.
    pub fn promised(&self) -> BTreeSet<String> {
        self.line().promised()
    }

    /// Whether somebody else is about to delete the credential of this name. Then `who` comes after that.
    pub fn awaits_deletion(&self, who: &Applicant, name: &CredentialName) -> bool {
        let mut line = self.line();
        let going = line.is_going(name.as_str());
        if going {
            line.wait(who);
        }
        going
    }

    /// Notes that `who` finds no slot: it is woken when one may be free. Where all were in use, and one has been freed since
    /// that was looked at, that is now.
    pub fn wait_for_slot(&self, who: &BindingRef, all_in_use: bool) {
        lock(&self.without_slot).insert(who.clone());
        if all_in_use && self.has_room() {
            self.wake_without_slot();
        }
    }

    fn has_room(&self) -> bool {
        let promised = self.promised();
        let used = self.listing.peek(|listing| {
            let listed = |name: &String| {
                let mut names = listing.iter().map(|it| &it.name);
                names.any(|it| it.eq_ignore_ascii_case(name))
            };
            listing.len() + promised.iter().filter(|name| !listed(name)).count()
        });
        used.is_some_and(|used| used < self.shared.settings.credential_limit)
    }

    pub(super) fn wake_without_slot(&self) {
        let waiting = std::mem::take(&mut *lock(&self.without_slot));
        self.wake(waiting);
    }
}
