//! How many credentials of one identity the accounts under a grant may use (`maxCredentialsPerIdentity`). Pure.
//!
//! Each account that uses the identity counts once, towards one of the grants that cover it: one without a quota if there is one,
//! otherwise the first by name that has room. That is greedy, and can miss an assignment that would have admitted one more: where grant `a`
//! covers two accounts and grant `b` only the first of them, the first takes the room of `a`, and the second finds none. Name the
//! narrower grant first, or give it more room.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::terms::Grant;

/// The quota of the grants is used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{used} of the {limit} credentials that the IdentityGrant \"{grant}\" allows for this managed identity are used or kept for \
     bindings that have waited longer: delete a binding under it, or ask the platform team for more \
     (spec.maxCredentialsPerIdentity)"
)]
pub struct QuotaReached {
    pub grant: String,
    pub used: usize,
    pub limit: usize,
}

/// How much of each grant's quota is used for one identity.
#[derive(Debug, Clone, Default)]
pub struct Used(BTreeMap<String, usize>);

impl Used {
    /// Somebody uses the identity already, whatever the quotas say.
    pub fn hold(&mut self, covering: &[Arc<Grant>]) {
        let counted = self.room(covering).unwrap_or_else(|| covering.first());
        if let Some(grant) = counted {
            *self.0.entry(grant.name.clone()).or_default() += 1;
        }
    }

    /// Somebody asks for a credential of the identity, and gets it where there is room.
    ///
    /// # Errors
    /// Where there is none.
    pub fn ask(&mut self, covering: &[Arc<Grant>]) -> Result<(), QuotaReached> {
        match self.room(covering) {
            Some(Some(grant)) => {
                *self.0.entry(grant.name.clone()).or_default() += 1;
                Ok(())
            }
            Some(None) => Ok(()),
            None => Err(self.reached(covering)),
        }
    }

    /// How much of a grant's quota is used.
    pub fn of(&self, grant: &str) -> usize {
        self.0.get(grant).copied().unwrap_or_default()
    }

    /// The grant that has room; an inner `None` stands for room that nobody counts.
    #[expect(
        clippy::option_option,
        reason = "no room, uncounted room, room of a grant"
    )]
    fn room<'a>(&self, covering: &'a [Arc<Grant>]) -> Option<Option<&'a Arc<Grant>>> {
        let quota = |grant: &Grant| grant.max_credentials_per_identity;
        if covering.iter().any(|it| quota(it).is_none()) {
            return Some(None);
        }
        let has_room = |it: &&Arc<Grant>| quota(it).is_some_and(|quota| self.of(&it.name) < quota);
        covering.iter().find(has_room).map(Some)
    }

    fn reached(&self, covering: &[Arc<Grant>]) -> QuotaReached {
        let first = covering.first();
        let limit = first.and_then(|it| it.max_credentials_per_identity);
        let grant = first.map(|it| it.name.clone()).unwrap_or_default();
        QuotaReached {
            used: self.of(&grant).max(limit.unwrap_or_default()),
            limit: limit.unwrap_or_default(),
            grant,
        }
    }
}

#[cfg(test)]
mod tests {
    use azwib_crds::IdentityGrant;
    use serde_json::json;

    use super::*;

    fn grant(name: &str, quota: Option<usize>) -> Arc<Grant> {
        let subscription = "00000000-0000-0000-0000-000000000001";
        let grant: IdentityGrant = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant", "metadata": { "name": name },
            "spec": {
                "identities": [{ "scope": format!("/subscriptions/{subscription}") }],
                "namespaces": { "names": ["shop"] },
                "maxCredentialsPerIdentity": quota,
            },
        }))
        .unwrap();
        Arc::new(Grant::parse(&grant).unwrap())
    }

    #[test]
    fn a_quota_admits_as_many_as_it_says_and_those_that_hold_come_first() {
        let covering = [grant("a", Some(2))];
        let mut used = Used::default();
        used.hold(&covering);
        used.ask(&covering).unwrap();
        let reached = used.ask(&covering).unwrap_err();
        assert_eq!((&*reached.grant, reached.used, reached.limit), ("a", 2, 2));
        // A quota that was lowered takes nothing away, and the grant is above its limit.
        for _ in 0..3 {
            used.hold(&covering);
        }
        assert_eq!(used.of("a"), 5);
        assert_eq!(used.ask(&covering).unwrap_err().used, 5);
    }

    #[test]
    fn a_grant_without_a_quota_comes_first_and_the_others_by_name() {
        let mut used = Used::default();
        let open = [grant("a", Some(1)), grant("z", None)];
        for _ in 0..3 {
            used.ask(&open).unwrap();
        }
        assert_eq!(used.of("a"), 0);
        let both = [grant("a", Some(1)), grant("b", Some(1))];
        used.ask(&both).unwrap();
        used.ask(&both).unwrap();
        assert_eq!((used.of("a"), used.of("b")), (1, 1));
        assert_eq!(used.ask(&both).unwrap_err().grant, "a");
    }

    #[test]
    fn greed_by_name_can_miss_an_assignment() {
        let (a, b) = (grant("a", Some(1)), grant("b", Some(1)));
        let mut used = Used::default();
        // It might have taken the room of b, and left that of a to the next one.
        used.ask(&[Arc::clone(&a), b]).unwrap();
        used.ask(&[a]).unwrap_err();
    }
}
