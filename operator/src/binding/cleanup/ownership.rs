//! What a binding may delete: what is proven to be its own.

use azwib_crds::{Issuer, Subject};

use crate::azure::ListedCredential;
use crate::runtime::deliberate::Bug;

/// Whether what was found under the derived name is provably ours.
pub(super) fn is_ours(found: &ListedCredential, issuer: &Issuer, subject: &Subject) -> bool {
    Bug::SubjectUnchecked.is_on()
        || found.content.as_ref().is_some_and(|content| {
            (content.issuer == issuer.as_str() || Bug::OtherIssuerDeleted.is_on())
                && content.subject == subject.as_str()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::CredentialContent;

    const ISSUER: &str = "https://oidc.example/";
    const NAME: &str = "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81";
    const SUBJECT: &str = "system:serviceaccount:shop:orders";

    fn is_ours(found: &ListedCredential) -> bool {
        let issuer = Issuer::parse(ISSUER).unwrap();
        let subject = Subject::of_service_account("shop", "orders");
        super::is_ours(found, &issuer, &subject)
    }

    fn listed(issuer: &str, subject: &str, audience: &str) -> ListedCredential {
        let content = CredentialContent {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
        };
        ListedCredential {
            name: NAME.to_owned(),
            content: Some(content),
        }
    }

    #[test]
    fn our_credential_is_ours_whatever_its_audience() {
        for audience in ["a", "b"] {
            assert!(is_ours(&listed(ISSUER, SUBJECT, audience)));
        }
    }

    #[test]
    fn what_cannot_be_proven_to_be_ours_is_not() {
        for found in [
            listed("https://oidc.example", SUBJECT, "a"),
            listed(ISSUER, "system:serviceaccount:shop:other", "a"),
            ListedCredential {
                name: NAME.to_owned(),
                content: None,
            },
        ] {
            assert!(!is_ours(&found), "{found:?}");
        }
    }
}
