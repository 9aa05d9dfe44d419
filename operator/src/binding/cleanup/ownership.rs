//! What a binding may delete: what is proven to be its own.

use azwib_crds::{CredentialName, CredentialOrigin, Issuer, RecordedCredential, Subject};

use crate::azure::ListedCredential;
use crate::runtime::deliberate::Bug;

/// Whether the binding may have made what it records: an adopted credential was there before.
pub(super) fn may_have_made(recorded: &RecordedCredential) -> bool {
    recorded.origin != CredentialOrigin::Adopted
}

/// The name of a recorded credential where this binding can have made it, or why it stays.
///
/// The name is derived, never believed: somebody who can write status cannot have another credential deleted.
pub(super) fn derived_name(
    recorded: &RecordedCredential,
    namespace: &str,
    service_account: &str,
) -> Result<CredentialName, &'static str> {
    let issuer =
        Issuer::parse(&recorded.issuer).map_err(|_| "its recorded issuer cannot be read")?;
    let name = CredentialName::derive(&issuer, namespace, service_account);
    if recorded.name == name.as_str() {
        Ok(name)
    } else {
        Err("its recorded name is not the one that this binding gives")
    }
}

/// Whether what was found under the derived name may be deleted: it is ours, or nothing is there (a read may lag behind).
pub(super) fn is_ours(
    found: Option<&ListedCredential>,
    recorded: &RecordedCredential,
    subject: &Subject,
) -> bool {
    Bug::SubjectUnchecked.is_on()
        || found.is_none_or(|credential| {
            credential.content.as_ref().is_some_and(|content| {
                content.issuer == recorded.issuer && content.subject == subject.as_str()
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    const ISSUER: &str = "https://oidc.example/";
    const NAME: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";
    const SUBJECT: &str = "system:serviceaccount:shop:orders";

    fn recorded(name: &str, origin: CredentialOrigin) -> RecordedCredential {
        RecordedCredential {
            name: name.to_owned(),
            resource_id: "/subscriptions/s".to_owned(),
            issuer: ISSUER.to_owned(),
            // Whatever status says about the subject does not count.
            subject: "system:serviceaccount:kube-system:admin".to_owned(),
            audience: "a".to_owned(),
            origin,
        }
    }

    fn listed(name: &str, issuer: &str, subject: &str, audience: &str) -> ListedCredential {
        let content = CredentialContent {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
        };
        ListedCredential {
            name: name.to_owned(),
            content: Some(content),
        }
    }

    fn subject() -> Subject {
        Subject::of_service_account("shop", "orders")
    }

    fn name_of(recorded: &RecordedCredential) -> Result<CredentialName, &'static str> {
        derived_name(recorded, "shop", "orders")
    }

    #[test]
    fn our_credential_is_deleted_whatever_its_audience_and_also_when_it_is_not_found() {
        for origin in [CredentialOrigin::Pending, CredentialOrigin::Created] {
            let recorded = recorded(NAME, origin);
            assert!(may_have_made(&recorded));
            assert_eq!(name_of(&recorded).unwrap().as_str(), NAME);
            for audience in ["a", "b"] {
                let found = listed(NAME, ISSUER, SUBJECT, audience);
                assert!(is_ours(Some(&found), &recorded, &subject()));
            }
            assert!(
                is_ours(None, &recorded, &subject()),
                "a read may lag behind"
            );
        }
    }

    #[test]
    fn what_cannot_be_proven_to_be_ours_is_left() {
        let created = recorded(NAME, CredentialOrigin::Created);
        for found in [
            listed(NAME, "https://oidc.example", SUBJECT, "a"),
            listed(NAME, ISSUER, "system:serviceaccount:shop:other", "a"),
            ListedCredential {
                name: NAME.to_owned(),
                content: None,
            },
        ] {
            assert!(!is_ours(Some(&found), &created, &subject()), "{found:?}");
        }
        assert!(!may_have_made(&recorded(NAME, CredentialOrigin::Adopted)));
    }

    #[test]
    fn a_recorded_name_that_this_binding_does_not_give_is_left() {
        let forged = recorded("aks-identity-binding", CredentialOrigin::Created);
        assert!(name_of(&forged).is_err());
    }
}
