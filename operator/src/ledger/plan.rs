//! What should happen to one claim's credential: a plain function of the identity's listing.

use azwib_crds::{Audience, CredentialName, Issuer, Subject};

use crate::azure::{CredentialContent, ListedCredential};

/// Federated identity credentials that one managed identity may have.
///
/// Source: "Considerations" of Microsoft Entra workload identity federation, 20 per user-assigned managed identity.
pub const CREDENTIAL_LIMIT: usize = 20;

/// What a binding wants to stand on its managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub name: CredentialName,
    pub issuer: Issuer,
    pub subject: Subject,
    pub audience: Audience,
}

impl Claim {
    /// The content that the credential should have.
    pub fn content(&self) -> CredentialContent {
        CredentialContent::new(&self.issuer, &self.subject, &self.audience)
    }
}

/// The decision about one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The credential stands exactly as claimed.
    Keep,
    /// The name is free, and so is a slot.
    Create,
    /// The name is ours, but the content is not what is claimed.
    Update,
    /// Nothing is written.
    Refuse(Refusal),
}

/// Why a claim gets no credential for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another credential has the same issuer and subject, which Azure allows once per identity.
    #[error(
        "the credential \"{name}\" of the identity has the same issuer and subject, which Azure allows only once: \
         delete it, or leave this service account to whoever made it"
    )]
    CredentialExists { name: String },
    /// All slots are taken; foreign credentials count.
    #[error(
        "{used} of {limit} federated identity credentials of the identity are used: remove one, or use another managed \
         identity"
    )]
    LimitReached { used: usize, limit: usize },
}

/// Decides about `claim` from the listing of its identity.
pub fn decide(listing: &[ListedCredential], claim: &Claim, limit: usize) -> Decision {
    let content = claim.content();
    let (ours, others): (Vec<_>, Vec<_>) = listing
        .iter()
        .partition(|credential| credential.name.eq_ignore_ascii_case(claim.name.as_str()));
    if ours
        .iter()
        .any(|credential| credential.content.as_ref() == Some(&content))
    {
        return Decision::Keep;
    }
    let rival = others.iter().find(|credential| {
        credential
            .content
            .as_ref()
            .is_some_and(|other| other.issuer == content.issuer && other.subject == content.subject)
    });
    if let Some(rival) = rival {
        return Decision::Refuse(Refusal::CredentialExists {
            name: rival.name.clone(),
        });
    }
    if !ours.is_empty() {
        return Decision::Update;
    }
    if listing.len() >= limit {
        return Decision::Refuse(Refusal::LimitReached {
            used: listing.len(),
            limit,
        });
    }
    Decision::Create
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://oidc.example/";
    const SUBJECT: &str = "system:serviceaccount:shop:orders";
    const AUDIENCE: &str = "api://AzureADTokenExchange";

    fn claim() -> Claim {
        let issuer = Issuer::parse(ISSUER).unwrap();
        Claim {
            name: CredentialName::derive(&issuer, "shop", "orders"),
            issuer,
            subject: Subject::of_service_account("shop", "orders"),
            audience: Audience::parse(AUDIENCE).unwrap(),
        }
    }

    fn credential(name: &str, issuer: &str, subject: &str, audience: &str) -> ListedCredential {
        ListedCredential {
            name: name.to_owned(),
            content: Some(CredentialContent {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                audiences: vec![audience.to_owned()],
            }),
        }
    }

    fn ours(issuer: &str, subject: &str, audience: &str) -> ListedCredential {
        credential(claim().name.as_str(), issuer, subject, audience)
    }

    fn foreign(count: usize) -> Vec<ListedCredential> {
        (0..count)
            .map(|n| {
                credential(
                    &format!("foreign-{n}"),
                    "https://other.example/",
                    &format!("s{n}"),
                    AUDIENCE,
                )
            })
            .collect()
    }

    #[test]
    fn a_credential_that_stands_as_claimed_is_kept_even_on_a_full_identity() {
        let mut listing = foreign(19);
        listing.push(ours(ISSUER, SUBJECT, AUDIENCE));
        assert_eq!(decide(&listing, &claim(), 20), Decision::Keep);
    }

    #[test]
    fn a_free_name_and_a_free_slot_make_a_creation() {
        assert_eq!(decide(&[], &claim(), 20), Decision::Create);
        assert_eq!(decide(&foreign(19), &claim(), 20), Decision::Create);
    }

    #[test]
    fn other_content_under_our_name_is_put_back_even_on_a_full_identity() {
        for changed in [
            ours("https://oidc.example", SUBJECT, AUDIENCE),
            ours(ISSUER, "system:serviceaccount:shop:other", AUDIENCE),
            ours(ISSUER, SUBJECT, "api://other"),
            ListedCredential {
                name: claim().name.to_string(),
                content: None,
            },
        ] {
            let mut listing = foreign(19);
            listing.push(changed.clone());
            assert_eq!(
                decide(&listing, &claim(), 20),
                Decision::Update,
                "{changed:?}"
            );
        }
    }

    #[test]
    fn our_issuer_and_subject_under_another_name_are_refused_whatever_the_audience() {
        for audience in [AUDIENCE, "api://other"] {
            let listing = [credential("by-hand", ISSUER, SUBJECT, audience)];
            let refusal = Refusal::CredentialExists {
                name: "by-hand".to_owned(),
            };
            assert_eq!(decide(&listing, &claim(), 20), Decision::Refuse(refusal));
        }
        let drifted = [
            ours("https://x.example", SUBJECT, AUDIENCE),
            credential("by-hand", ISSUER, SUBJECT, AUDIENCE),
        ];
        assert!(matches!(
            decide(&drifted, &claim(), 20),
            Decision::Refuse(Refusal::CredentialExists { .. })
        ));
    }

    #[test]
    fn issuer_and_subject_are_compared_to_the_letter() {
        let listing = [credential(
            "by-hand",
            ISSUER,
            "system:serviceaccount:shop:Orders",
            AUDIENCE,
        )];
        assert_eq!(decide(&listing, &claim(), 20), Decision::Create);
    }

    #[test]
    fn the_twenty_first_is_refused_and_flexible_credentials_count() {
        let mut listing = foreign(19);
        listing.push(ListedCredential {
            name: "flexible".to_owned(),
            content: None,
        });
        assert_eq!(
            decide(&listing, &claim(), 20),
            Decision::Refuse(Refusal::LimitReached {
                used: 20,
                limit: 20
            })
        );
        assert_eq!(
            decide(&foreign(3), &claim(), 3),
            Decision::Refuse(Refusal::LimitReached { used: 3, limit: 3 })
        );
    }
}
