//! Looks again and again: at the API server's keys and the own token every minute, at what is public every hour and when those change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::Issuer;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::api_server::ApiServer;
use super::fetch::{Fetch, NoKeys};
use super::judge::{
    Carried, Differences, Finding, Missing, Public, Published, Seen, SignedIn, judge,
};
use super::keys::Keys;
use super::metrics::{IssuerMetrics, UNKNOWN};
use super::platform::{Traits, platform};
use super::proof::Proof;
use super::steady::Steady;
use super::token::OwnToken;
use crate::azure::safe_line;
use crate::runtime::jitter;

/// Between two looks at the API server and the own token.
const LOOKS: Duration = Duration::from_secs(60);

/// Between two looks at what is public: where all is well, and where it is not or could not be looked at.
const PUBLIC_LOOKS: Duration = Duration::from_secs(3600);
const PUBLIC_LOOKS_AGAIN: Duration = Duration::from_secs(300);

/// How often it is asked whether the value is known by now.
const VALUE_LOOKS: Duration = Duration::from_secs(1);

/// Where the API server's keys cannot be read, or lack that of the token.
const NO_OWN_KEY: &str =
    "the API server does not say which key the operator's own token is signed with";

/// What is said of the issuer.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// What follows, as it is told.
    pub finding: Arc<Finding>,
    /// Another issuer was seen, which no fresh token has proven yet: the one that was seen.
    pub differs: Option<Arc<str>>,
    /// The issuer that was looked at; none before the first look.
    pub about: Option<Issuer>,
}

/// The value that the process goes by at this moment; none while it is not known.
pub type Value = Box<dyn Fn() -> Option<Issuer> + Send + Sync>;

/// What is looked at, and by what.
pub struct Watching {
    pub value: Value,
    pub api_server: ApiServer,
    pub token_file: PathBuf,
    /// What is public is read by this; none where it is not to be verified.
    pub fetch: Option<Fetch>,
    /// Signs in to prove a key, with workload identity.
    pub proof: Option<Proof>,
    pub allow_private: bool,
    pub metrics: IssuerMetrics,
    pub said: watch::Sender<Said>,
}

/// What is remembered from one look to the next.
struct Remembered {
    issuer: Issuer,
    differences: Differences,
    missing: Missing,
    public: Public,
    /// What the last look at what is public does not prove.
    note: String,
    public_due: Instant,
    steady: Steady,
    /// The keys of the API server and the id of the own token's key, as they were at the last look at what is public.
    compared: Option<(Option<Keys>, Option<String>)>,
}

impl Remembered {
    fn of(issuer: Issuer) -> Self {
        Self {
            issuer,
            differences: Differences::default(),
            missing: Missing::default(),
            public: Public::NotLooked,
            note: String::new(),
            public_due: Instant::now(),
            steady: Steady::default(),
            compared: None,
        }
    }
}

impl Watching {
    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let began = Instant::now();
        let (mut remembered, mut traits) = (None::<Remembered>, None);
        loop {
            let Some(issuer) = self.value_or_candidate().await else {
                self.metrics.note(|known| known.finding = Some(UNKNOWN));
                sleep(VALUE_LOOKS).await;
                continue;
            };
            if remembered.as_ref().is_none_or(|it| it.issuer != issuer) {
                remembered = Some(Remembered::of(issuer));
            }
            if traits.is_none() {
                traits = self.api_server.traits().await;
            }
            if let Some(remembered) = &mut remembered {
                let traits = traits.clone().unwrap_or_default();
                self.look(remembered, &traits, began).await;
            }
            self.until_next(remembered.as_ref().map(|it| &it.issuer))
                .await;
        }
    }

    /// The value, or, before it is taken, what it would be now: who takes over then does not have to wait for the first look.
    async fn value_or_candidate(&self) -> Option<Issuer> {
        if let Some(issuer) = (self.value)() {
            return Some(issuer);
        }
        let document = self.api_server.document().await.ok()?;
        let token = OwnToken::in_file(&self.token_file).ok()?;
        let agreed = document.issuer == token.issuer;
        Issuer::parse(&document.issuer).ok().filter(|_| agreed)
    }

    /// Waits for the next look, or for another value.
    async fn until_next(&self, looked_at: Option<&Issuer>) {
        let next = Instant::now() + LOOKS.mul_f64(jitter::factor(0.9..=1.1));
        while Instant::now() < next {
            sleep(VALUE_LOOKS).await;
            let value = (self.value)();
            if value.is_some() && value.as_ref() != looked_at {
                return;
            }
        }
    }

    async fn look(&mut self, remembered: &mut Remembered, traits: &Traits, began: Instant) {
        let token = OwnToken::in_file(&self.token_file).ok();
        let document = self.api_server.document().await.ok().map(|it| it.issuer);
        let keys = self.api_server.keys().await.ok();
        let now = Timestamp::now().as_second();
        let issuer = remembered.issuer.clone();
        let carried =
            remembered
                .differences
                .look(&issuer, token.as_ref(), document.as_deref(), now);
        self.look_at_public(remembered, token.as_ref(), keys, began)
            .await;
        let signed_in = match &mut self.proof {
            Some(proof) => proof.look(&self.metrics).await,
            None => SignedIn::NothingKnown,
        };
        let of_token = token.as_ref().map(|it| it.issuer.as_str());
        let others = [of_token, document.as_deref(), Some(issuer.as_str())];
        let others: Vec<_> = others.into_iter().flatten().collect();
        let found = judge(&Seen {
            issuer: &issuer,
            token: token.as_ref(),
            carried,
            document: document.as_deref(),
            public: &remembered.public,
            note: &remembered.note,
            signed_in: &signed_in,
            platform: platform(traits, &others),
            allow_private: self.allow_private,
            now,
        });
        let other = others.iter().find(|it| **it != issuer.as_str());
        let differs = other.filter(|_| carried == Carried::Differs);
        let differs = differs.map(|it| Arc::from(*it));
        let told = remembered.steady.tell(found, began.elapsed()).clone();
        self.say(told, differs, issuer);
    }

    fn say(&self, told: Finding, differs: Option<Arc<str>>, issuer: Issuer) {
        self.metrics.note(|known| {
            known.finding = Some(told.label());
            known.differs = differs.is_some();
        });
        self.said.send_if_modified(|said| {
            let is_new = *said.finding != told
                || said.differs != differs
                || said.about.as_ref() != Some(&issuer);
            if is_new {
                *said = Said {
                    finding: Arc::new(told),
                    differs,
                    about: Some(issuer),
                };
            }
            is_new
        });
    }

    /// Looks at what is public where that is due, or where the keys have changed since.
    async fn look_at_public(
        &self,
        remembered: &mut Remembered,
        token: Option<&OwnToken>,
        keys: Option<Keys>,
        began: Instant,
    ) {
        let Some(fetch) = &self.fetch else {
            return;
        };
        let compared = (keys, token.map(|it| it.kid.clone()));
        let has_changed = remembered.compared.as_ref() != Some(&compared);
        if Instant::now() < remembered.public_due && !has_changed {
            return;
        }
        let looked = fetch.look(&remembered.issuer).await;
        remembered.note = looked
            .as_ref()
            .map_or_else(|_| String::new(), |it| it.note(fetch));
        let (keys, kid) = &compared;
        let key = keys.as_ref().zip(kid.as_ref());
        let key = key.and_then(|(keys, kid)| keys.of(kid));
        remembered.public = match looked {
            Err(NoKeys::Invalid(invalid)) => Public::Invalid(invalid),
            Err(could_not_look) => Public::CouldNotLook(could_not_look.to_string()),
            Ok(looked) => {
                self.note_comparison(keys.as_ref(), &looked.keys);
                let now = began.elapsed();
                match key {
                    Some(key) => Public::Keys(remembered.missing.look(key, &looked.keys, now)),
                    None => Public::CouldNotLook(NO_OWN_KEY.to_owned()),
                }
            }
        };
        let next = match &remembered.public {
            Public::Keys(Published::Yes) => PUBLIC_LOOKS,
            Public::Keys(_) => Duration::ZERO,
            _ => PUBLIC_LOOKS_AGAIN,
        };
        remembered.public_due = Instant::now() + next.mul_f64(jitter::factor(0.9..=1.0));
        remembered.compared = Some(compared);
    }

    /// Counts the keys that the API server has and the public set lacks: tokens that they sign later are refused.
    fn note_comparison(&self, keys: Option<&Keys>, public: &Keys) {
        let Some(keys) = keys else {
            return;
        };
        let missing: Vec<_> = keys
            .missing_in(public)
            .map(|it| safe_line(&it.kid))
            .collect();
        let mut is_news = false;
        self.metrics.note(|known| {
            is_news = known.keys_missing != Some(missing.len());
            known.keys_missing = Some(missing.len());
            known.compared = Some(Instant::now());
        });
        if is_news && !missing.is_empty() {
            tracing::warn!(
                keys = missing.join(", "),
                "the API server has keys that its issuer does not publish: Microsoft Entra refuses tokens that they sign"
            );
        }
    }
}

#[cfg(test)]
mod tests;
