//! What should happen to the credential of each applicant on an identity: plain functions of its listing and its applicants.

mod platform;

use std::collections::BTreeSet;
use std::sync::Arc;

use azwib_crds::{Audience, CredentialAdoption, CredentialName, Issuer, Subject};

use self::platform::{is_of_aks, names_of_platform, not_these};
use super::queue::PLACES;
use super::who::{Rank, Urgency, Writer};
use crate::azure::{CredentialContent, ListedCredential};
use crate::runtime::deliberate::Bug;

/// Federated identity credentials that one managed identity may have.
///
/// Source: "Considerations" of Microsoft Entra workload identity federation, 20 per user-assigned managed identity.
pub const CREDENTIAL_LIMIT: usize = 20;

/// How many applicants before one are counted at most. Further back the number makes no difference.
pub const FAR_BACK: usize = 15;

/// How many applicants from the front of the line a decision is made from, where an identity may have `limit` credentials.
///
/// None further back changes it. Passed over are the applicant itself, those that what is listed decides about (a credential
/// does that for two at the most, by its name and by its subject) and those that are promised a slot; and where more are
/// listed than the limit allows, none is counted.
pub fn front_of_line(limit: usize) -> usize {
    3 * limit + FAR_BACK + PLACES + 1
}

/// What a binding wants to stand on its managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredCredential {
    pub name: CredentialName,
    pub issuer: Issuer,
    pub subject: Subject,
    pub audience: Audience,
    pub adoption: CredentialAdoption,
}

impl DesiredCredential {
    /// The content that the credential should have.
    pub fn content(&self) -> CredentialContent {
        CredentialContent::new(&self.issuer, &self.subject, &self.audience)
    }

    /// Whether this content is for the same issuer and subject.
    fn is_for_whom(&self, content: &CredentialContent) -> bool {
        content.issuer == self.issuer.as_str() && content.subject == self.subject.as_str()
    }

    /// Whether this is the [content](Self::content) that the credential should have.
    fn is_exactly(&self, content: &CredentialContent) -> bool {
        self.is_for_whom(content) && content.audiences == [self.audience.as_str()]
    }
}

/// What is known of an applicant besides what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precedence {
    /// Its credential was in place when last seen: where it was lost, it comes before all who wait.
    HadCredential,
    /// It waits for its first credential.
    Waiting,
    /// Azure refused it for a reason of its own: it is tried again, and holds up nobody meanwhile.
    Refused,
}

/// A binding that applies for a credential on an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    pub credential: DesiredCredential,
    pub standing: Precedence,
    pub rank: Arc<Rank>,
}

impl Applicant {
    /// Where it stands among all applicants on its identity: who comes first is served first.
    pub fn place(&self) -> (Precedence, &Rank) {
        (self.standing, &self.rank)
    }

    /// The one who wants to write for this applicant.
    pub fn writer(&self) -> Writer {
        Writer {
            urgency: match self.standing {
                Precedence::HadCredential => Urgency::Repair,
                Precedence::Waiting | Precedence::Refused => Urgency::Creation,
            },
            rank: Rank::clone(&self.rank),
        }
    }
}

/// All that a decision is made from, apart from the applicant itself.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What stands on the identity, foreign credentials included.
    pub listing: &'a [ListedCredential],
    /// The applicants on the identity, as many as stand at the [front of the line](front_of_line); the one that is decided
    /// about may be among them.
    pub applicants: &'a [Arc<Applicant>],
    /// Names of the credentials that are about to be created: their slots are taken.
    pub promised: &'a BTreeSet<String>,
    /// How many credentials the identity may have.
    pub limit: usize,
}

/// The decision about one applicant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The credential stands exactly as desired.
    Keep,
    /// Exactly this stands under another name, and the binding takes it as it is.
    Adopt { name: String },
    /// The name is free, and so is a slot that nobody before this applicant waits for.
    Create,
    /// The name is ours, but the content is not what is desired.
    Update,
    /// Nothing is written.
    Refuse(Refusal),
}

/// Why an applicant gets no credential for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another credential has the same issuer and subject, which Azure allows once per identity.
    #[error(
        "the credential \"{name}\" of the identity has the same issuer and subject, which Azure allows only once: {}",
        what_to_do(*.identical)
    )]
    CredentialExists {
        name: String,
        /// Its audience is the desired one too.
        identical: bool,
    },
    /// All slots are taken, or promised to applicants that have waited longer; foreign credentials count.
    #[error(
        "{} of {limit} federated identity credentials of the identity are used{}: remove one{}, or use another managed \
         identity",
        if *before { limit } else { used },
        or_kept(*.before),
        not_these(.of_platform)
    )]
    LimitReached {
        used: usize,
        limit: usize,
        /// Whether a free slot is for somebody else who stands before this applicant.
        before: bool,
        /// Whether one that is counted is free yet: somebody else is about to take it.
        promised: bool,
        /// How many applicants stand before this one, up to [`FAR_BACK`].
        ahead: usize,
        /// The names of credentials that a platform has made for itself.
        of_platform: Vec<String>,
    },
}

impl Refusal {
    /// Whether there is a slot, and it is left to another applicant.
    pub fn leaves_slot_to_others(&self) -> bool {
        let Self::LimitReached {
            before, promised, ..
        } = self
        else {
            return false;
        };
        *before || *promised
    }
}

fn what_to_do(identical: bool) -> &'static str {
    if identical {
        "allow its adoption (spec.credential.adoption: IfIdentical), delete that credential, or delete this \
         binding"
    } else {
        "delete that credential, or delete this binding"
    }
}

/// How many are used and how many kept changes with every write for another binding. Whoever waits need not be told.
fn or_kept(before: bool) -> &'static str {
    if before {
        " or kept for bindings that have waited longer"
    } else {
        ""
    }
}

/// Decides about the credential of `applicant`.
pub fn decide(applicant: &Applicant, situation: &Situation<'_>) -> Decision {
    decide_by_content(&applicant.credential, situation.listing)
        .unwrap_or_else(|| decide_by_slots(applicant, situation))
}

/// Whether what is desired is listed, whatever else there is.
pub fn is_met(desired: &DesiredCredential, listing: &[ListedCredential]) -> bool {
    matches!(
        decide_by_content(desired, listing),
        Some(Decision::Keep | Decision::Adopt { .. })
    )
}

/// Whether what is listed decides about the desired credential, whoever else waits for a slot.
pub fn is_decided(desired: &DesiredCredential, listing: &[ListedCredential]) -> bool {
    decide_by_content(desired, listing).is_some()
}

/// What can be decided without counting; None for one that needs a slot.
fn decide_by_content(
    desired: &DesiredCredential,
    listing: &[ListedCredential],
) -> Option<Decision> {
    let mut ours = listing
        .iter()
        .filter(|it| bears(it, &desired.name))
        .peekable();
    let has_ours = ours.peek().is_some();
    if ours.any(|credential| is_as_desired(credential, desired)) {
        if Bug::WritesWhatStands.is_on() {
            return Some(Decision::Update);
        }
        return Some(Decision::Keep);
    }
    let mut others = listing.iter().filter(|it| !bears(it, &desired.name));
    let rival = others.find_map(|credential| {
        let content = credential.content.as_ref()?;
        desired
            .is_for_whom(content)
            .then_some((&credential.name, desired.is_exactly(content)))
    });
    if let Some((name, identical)) = rival {
        let name = name.clone();
        // With one of ours on the identity besides, adopting would leave that one behind.
        let adopts = identical
            && !has_ours
            && !is_of_aks(&name)
            && (desired.adoption == CredentialAdoption::IfIdentical
                || Bug::AdoptsUnderNever.is_on());
        return Some(if adopts {
            Decision::Adopt { name }
        } else {
            Decision::Refuse(Refusal::CredentialExists { name, identical })
        });
    }
    has_ours.then_some(Decision::Update)
}

/// Creates, where a slot is left after all who stand before this applicant have had theirs.
fn decide_by_slots(applicant: &Applicant, situation: &Situation<'_>) -> Decision {
    let Situation {
        listing,
        applicants,
        promised,
        limit,
    } = *situation;
    let listed = |name: &str| {
        listing
            .iter()
            .any(|credential| credential.name.eq_ignore_ascii_case(name))
    };
    let own = applicant.credential.name.as_str();
    let promised_to_others = promised
        .iter()
        .filter(|name| *name != own && !listed(name))
        .count();
    let counted = |credential: &&ListedCredential| {
        !Bug::OnlyOursCounted.is_on() || credential.name.starts_with("azwib-")
    };
    let used = listing.iter().filter(counted).count() + promised_to_others;
    let before = applicants
        .iter()
        .filter(|other| other.credential.name != applicant.credential.name)
        // Who was refused holds up nobody, the others that were refused neither: they would take turns at it for ever.
        .filter(|other| other.standing != Precedence::Refused)
        .filter(|other| {
            if Bug::NewestFirst.is_on() {
                return other.rank > applicant.rank;
            }
            other.place() < applicant.place()
        })
        .filter(|other| !promised.contains(other.credential.name.as_str()))
        .filter(|other| !is_decided(&other.credential, listing))
        // More than that make no difference.
        .take(limit.saturating_sub(used).max(FAR_BACK))
        .count();
    if used + before < limit {
        return Decision::Create;
    }
    Decision::Refuse(Refusal::LimitReached {
        used,
        limit,
        before: used < limit,
        promised: used >= limit && used - promised_to_others < limit,
        ahead: before,
        of_platform: names_of_platform(listing),
    })
}

fn is_as_desired(credential: &ListedCredential, desired: &DesiredCredential) -> bool {
    let Some(found) = &credential.content else {
        return false;
    };
    if Bug::AudienceUnchecked.is_on() {
        return desired.is_for_whom(found);
    }
    desired.is_exactly(found) || Bug::ContentUnchecked.is_on()
}

fn bears(credential: &ListedCredential, name: &CredentialName) -> bool {
    credential.name.eq_ignore_ascii_case(name.as_str())
}

#[cfg(test)]
mod tests;
