//! What follows from what was seen of an issuer. Pure: the time comes in.
//!
//! There are three classes of findings. The *value* may be unknown (`discovery`); something may be *provably wrong*; and it may be that
//! azwib *could not look*, which proves nothing and stops nothing. Of what is provably wrong only a mismatch takes `Ready` away: the
//! rest stops new credentials.

use std::time::Duration;

use azwib_crds::Issuer;

use super::document::InvalidDocument;
use super::keys::{Key, Keys};
use super::platform::Platform;
use super::reach::unreachable;
use super::token::OwnToken;
use crate::azure::safe_line;

/// How far apart two reads have to be that show a key missing: a set may be published just now.
pub const MISSING_FOR: Duration = Duration::from_secs(60);

/// How far a token's `iat` may lie ahead of our clock before that is told.
const CLOCK_TOLERANCE: i64 = 300;

/// For how long a sign-in proves a key: it is made each hour, and one may fail.
pub const PROVEN_FOR: Duration = Duration::from_secs(2 * 3600 + 600);

/// What is to be said of the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Finding {
    /// Nobody has looked: verification is off, or has not come to it.
    #[default]
    NotVerified,
    /// The public key set has the key that the operator's own token is signed with.
    ///
    /// The text says what that does not prove, if anything.
    Verified(String),
    /// Entra has taken the operator's own token, signed with its present key.
    ProvenBySignIn,
    /// It could not be looked at. The text says why.
    CouldNotLook(String),
    /// Tokens of this issuer cannot be verified. The text says why, and what to do.
    Wrong(String),
    /// The public key set lacks the key that the operator's own token is signed with.
    KeysOutOfDate(String),
    /// Entra has refused the operator's own token for its issuer, in its own words.
    Refused(String),
    /// The cluster's tokens carry another issuer.
    Mismatch(String),
}

impl Finding {
    /// What stops a new credential, if anything: the text says why.
    pub fn stops(&self) -> Option<&str> {
        match self {
            Self::Wrong(why) | Self::KeysOutOfDate(why) | Self::Mismatch(why) => Some(why),
            _ => None,
        }
    }

    /// Whether it is told on every binding, and not only on those that are worked on.
    pub fn concerns_all(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Mismatch(_))
    }

    /// The word for it in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotVerified => "not_verified",
            Self::Verified(_) => "verified",
            Self::ProvenBySignIn => "proven_by_sign_in",
            Self::CouldNotLook(_) => "could_not_look",
            Self::Wrong(_) => "wrong",
            Self::KeysOutOfDate(_) => "keys_out_of_date",
            Self::Refused(_) => "refused",
            Self::Mismatch(_) => "mismatch",
        }
    }

    /// Every word that [`Self::label`] may give.
    pub const LABELS: [&'static str; 8] = [
        "not_verified",
        "verified",
        "proven_by_sign_in",
        "could_not_look",
        "wrong",
        "keys_out_of_date",
        "refused",
        "mismatch",
    ];

    /// What it says, if anything.
    pub fn text(&self) -> &str {
        match self {
            Self::NotVerified | Self::ProvenBySignIn => "",
            Self::Verified(text)
            | Self::CouldNotLook(text)
            | Self::Wrong(text)
            | Self::KeysOutOfDate(text)
            | Self::Refused(text)
            | Self::Mismatch(text) => text,
        }
    }
}

/// What is known of the issuer that tokens carry, against the one that azwib goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// The same, or nothing is known.
    Same,
    /// Another. It counts once a token says so that was issued after that was first seen.
    Differs,
    /// Another, as a token says that was issued after that was first seen.
    Mismatch,
}

/// Remembers when another issuer was first seen. A mounted token is renewed at 80 % of its life: until then it says what was.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    /// The other issuer, our clock when it was first seen, and when the token of that moment was issued.
    first: Option<(i64, i64)>,
}

impl Differences {
    /// Takes in what the API server's document and the own token say at this moment, in seconds since 1970 by our clock.
    ///
    /// Both a clock of ours that is fast and one that is slow are allowed for: the token has to be issued later than the first sight,
    /// and also later than the token that was there at that time.
    pub fn look(
        &mut self,
        issuer: &Issuer,
        token: Option<&OwnToken>,
        document: Option<&str>,
        now: i64,
    ) -> Carried {
        let differs = |it: &str| it != issuer.as_str();
        let of_token = token.is_some_and(|it| differs(&it.issuer));
        if !of_token && !document.is_some_and(differs) {
            // Not to be looked at is no sight of the same.
            if token.is_some() || document.is_some() {
                self.first = None;
            }
            return Carried::Same;
        }
        let issued_at = token.map_or(i64::MIN, |it| it.issued_at);
        let (first, issued_then) = *self.first.get_or_insert((now, issued_at));
        if of_token && issued_at > first && issued_at > issued_then {
            Carried::Mismatch
        } else {
            Carried::Differs
        }
    }
}

/// Whether the key of the own token is in the public set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is.
    Yes,
    /// It is not, and is not yet known to stay so.
    Missing,
    /// It is not, as two reads have shown that were a minute apart.
    OutOfDate,
}

/// Remembers since when a key is missing in the public set.
#[derive(Debug, Clone, Default)]
pub struct Missing {
    first: Option<(Key, Duration)>,
}

impl Missing {
    /// Takes in a read of the public set at this moment, since some beginning.
    pub fn look(&mut self, key: &Key, public: &Keys, now: Duration) -> Published {
        if public.has(key) {
            self.first = None;
            return Published::Yes;
        }
        match &self.first {
            Some((known, first)) if known == key => {
                if now.saturating_sub(*first) >= MISSING_FOR {
                    Published::OutOfDate
                } else {
                    Published::Missing
                }
            }
            _ => {
                self.first = Some((key.clone(), now));
                Published::Missing
            }
        }
    }
}

/// What the last look at the public documents has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Public {
    /// It was not made: verification is off, or has not come to it.
    NotLooked,
    /// It could not be made.
    CouldNotLook(String),
    /// The document is none that tokens can be verified by.
    Invalid(InvalidDocument),
    /// The keys were read, and the own token's is there or not.
    Keys(Published),
}

/// What the last sign-in has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// It was not made, or says nothing about the issuer.
    NothingKnown,
    /// It was taken, signed with the key of this id, for this issuer, so long ago.
    Taken {
        issuer: String,
        kid: String,
        ago: Duration,
    },
    /// Entra has refused the token for its issuer, in these words.
    Refused(String),
}

/// All that was seen.
#[derive(Debug)]
pub struct Seen<'a> {
    pub issuer: &'a Issuer,
    pub token: Option<&'a OwnToken>,
    pub carried: Carried,
    /// The issuer of the API server's own document.
    pub document: Option<&'a str>,
    pub public: &'a Public,
    /// What that does not prove.
    pub note: &'a str,
    pub signed_in: &'a SignedIn,
    pub platform: Platform,
    /// Issuers that cannot be reached from the internet are allowed: a cloud of one's own reaches them.
    pub allow_private: bool,
    /// Our clock, in seconds since 1970.
    pub now: i64,
}

/// What follows from all of it. The first rule that has something to say decides, the heaviest first.
pub fn judge(seen: &Seen<'_>) -> Finding {
    let rules = [
        mismatch,
        refused_by_entra,
        not_public,
        signed_otherwise,
        not_verifiable,
        proven_by_sign_in,
        keys_out_of_date,
        verified,
        clock_is_off,
        could_not_look,
    ];
    rules.iter().find_map(|rule| rule(seen)).unwrap_or_default()
}

fn mismatch(seen: &Seen<'_>) -> Option<Finding> {
    let token = seen.token.filter(|_| seen.carried == Carried::Mismatch)?;
    Some(Finding::Mismatch(format!(
        "the cluster's tokens carry the issuer {}, and azwib goes by {}: no credential that it makes can be used with them; {}, then \
         restart azwib",
        safe_line(&token.issuer),
        seen.issuer,
        seen.platform.advice()
    )))
}

fn refused_by_entra(seen: &Seen<'_>) -> Option<Finding> {
    let SignedIn::Refused(words) = seen.signed_in else {
        return None;
    };
    Some(Finding::Refused(format!(
        "Microsoft Entra refuses the operator's own token for its issuer, and may refuse those of workloads for the same: {words}; \
         {}",
        seen.platform.advice()
    )))
}

fn not_public(seen: &Seen<'_>) -> Option<Finding> {
    let why = unreachable(seen.issuer).filter(|_| !seen.allow_private)?;
    Some(Finding::Wrong(format!(
        "the cluster's tokens carry the issuer {}, whose host {why}: Microsoft Entra cannot read its discovery document there; {}",
        seen.issuer,
        seen.platform.advice()
    )))
}

/// Entra verifies RS256 only.
fn signed_otherwise(seen: &Seen<'_>) -> Option<Finding> {
    let token = seen.token.filter(|it| it.algorithm != "RS256")?;
    Some(Finding::Wrong(format!(
        "the cluster's tokens are signed by {}, and Microsoft Entra takes RS256 only: give the API server an RSA key to sign with \
         (--service-account-signing-key-file)",
        safe_line(&token.algorithm)
    )))
}

fn not_verifiable(seen: &Seen<'_>) -> Option<Finding> {
    let Public::Invalid(invalid) = seen.public else {
        return None;
    };
    let why = format!("{invalid}; {}", seen.platform.advice());
    Some(match invalid.is_proof() {
        true => Finding::Wrong(why),
        false => return None,
    })
}

fn proven_by_sign_in(seen: &Seen<'_>) -> Option<Finding> {
    let SignedIn::Taken { issuer, kid, ago } = seen.signed_in else {
        return None;
    };
    let is_present = seen.token.is_none_or(|it| it.kid == *kid);
    let proves = issuer == seen.issuer.as_str() && is_present && *ago <= PROVEN_FOR;
    proves.then_some(Finding::ProvenBySignIn)
}

fn keys_out_of_date(seen: &Seen<'_>) -> Option<Finding> {
    let (Public::Keys(Published::OutOfDate), Some(token)) = (seen.public, seen.token) else {
        return None;
    };
    Some(Finding::KeysOutOfDate(format!(
        "the cluster's tokens are signed with the key {}, which is not among the keys that {} publishes: Microsoft Entra refuses such \
         tokens, once it has forgotten the older keys; {}",
        safe_line(&token.kid),
        seen.issuer,
        seen.platform.keys_advice()
    )))
}

fn verified(seen: &Seen<'_>) -> Option<Finding> {
    let is_published = matches!(seen.public, Public::Keys(Published::Yes));
    is_published.then(|| Finding::Verified(seen.note.to_owned()))
}

fn clock_is_off(seen: &Seen<'_>) -> Option<Finding> {
    let token = seen.token?;
    let ahead = token.issued_at.saturating_sub(seen.now);
    (ahead > CLOCK_TOLERANCE).then(|| {
        Finding::CouldNotLook(
            "the operator's own token was issued in the future: the clocks of the API server and of this machine differ".to_owned(),
        )
    })
}

fn could_not_look(seen: &Seen<'_>) -> Option<Finding> {
    match seen.public {
        Public::CouldNotLook(why) => Some(Finding::CouldNotLook(why.clone())),
        Public::Invalid(invalid) => Some(Finding::CouldNotLook(invalid.to_string())),
        Public::Keys(Published::Missing) => Some(Finding::CouldNotLook(
            "the key of the operator's own token is not published; it is looked for once more"
                .to_owned(),
        )),
        Public::NotLooked | Public::Keys(_) => None,
    }
}

#[cfg(test)]
mod tests;
