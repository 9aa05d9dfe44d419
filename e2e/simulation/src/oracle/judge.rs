//! All of it, in order.

use super::expected::may_clean_up;
use super::leftovers::{is_listed, nothing_left};
use super::reasons::true_reason;
use crate::bindings::{account, identity_id, is_ready};
use crate::costs::Costs;
use crate::grants::is_covered;
use crate::invariants::Books;
use crate::invariants::grants::{GRANTED, tell_what_they_cover};
use crate::names::{ISSUER, our_name, subject};
use crate::setup::World;
use crate::shared::Shared;
use crate::trace::lock;

/// Where every binding is Ready, nothing is written.
pub const STILL: &str = "still-when-all-is-well";

/// Judges the end of a run.
pub fn judge(shared: &Shared, world: &World, books: &Books, costs: &Costs) {
    lock(&shared.azure).advance(shared.time.now());
    nothing_left(shared, world, books, costs);
    for binding in shared.cluster.bindings() {
        true_reason(shared, world, &binding);
    }
    nothing_ungranted(shared, books);
    tell_what_they_cover(shared);
    still(shared, books);
    costs.judge(shared);
}

/// No credential of ours stands for a binding that no grant covers.
fn nothing_ungranted(shared: &Shared, books: &Books) {
    if !shared.requires_grants {
        return;
    }
    let azure = lock(&shared.azure);
    for binding in shared.cluster.bindings() {
        let (namespace, account) = account(&binding);
        let id = identity_id(&binding);
        let name = our_name(namespace, account).unwrap_or_default();
        let stands = azure.identity(id).is_some_and(|it| {
            let ours = it.credentials.get(&name.to_ascii_lowercase());
            ours.is_some_and(|it| {
                it.issuer == ISSUER && it.subject.as_deref() == Some(&subject(namespace, account))
            })
        });
        let going = binding.metadata.deletion_timestamp.is_some();
        let uid = binding.metadata.uid.as_deref().unwrap_or_default();
        if stands
            && !going
            && !books.is_forgotten(uid)
            && (books.has_had_credential(uid) || is_listed(shared, id))
            && may_clean_up(shared, &azure, id)
            && !is_covered(&shared.cluster, &binding)
        {
            let what = format!("{name} stands, and no grant covers {namespace}/{account}");
            shared.violated(GRANTED, what);
        }
    }
}

/// Longer than any resync.
const STILL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(20);

fn still(shared: &Shared, books: &Books) {
    let bindings = shared.cluster.bindings();
    let last = books.last_write();
    let recently = last.is_some_and(|last| shared.time.now() - STILL_FOR < last);
    if bindings.iter().all(is_ready) && recently {
        shared.violated(STILL, "something was written in the last 20 minutes");
    }
}
