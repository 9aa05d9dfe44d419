//! Proof by sign-in: what Entra accepts proves that key for that issuer, from where it matters, also where the cluster cannot reach what
//! is public.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::judge::SignedIn;
use super::metrics::IssuerMetrics;
use super::token::OwnToken;
use crate::azure::AzureError;
use crate::runtime::jitter;

/// Between two sign-ins, and after one that failed.
const EVERY: Duration = Duration::from_secs(3600);
const AGAIN: Duration = Duration::from_secs(300);

/// What Entra answers where no credential of the identity trusts the issuer, and where it cannot read what the issuer publishes.
/// Source: https://azure.github.io/azure-workload-identity/docs/troubleshooting.html
const OF_THE_ISSUER: [&str; 2] = ["AADSTS700211", "AADSTS90061"];

/// Signs in now, whatever token is held.
pub type SignInAfresh = Box<dyn Fn() -> BoxFuture<'static, Result<(), AzureError>> + Send + Sync>;

/// Signs in again and again, and remembers what that proves.
pub struct Proof {
    sign_in: SignInAfresh,
    /// The token that is exchanged.
    token_file: PathBuf,
    due: Instant,
    last: Option<Last>,
}

enum Last {
    Taken {
        issuer: String,
        kid: String,
        at: Instant,
    },
    Refused(String),
}

impl Proof {
    /// Nothing is proven yet.
    pub fn new(sign_in: SignInAfresh, token_file: PathBuf) -> Self {
        Self {
            sign_in,
            token_file,
            due: Instant::now(),
            last: None,
        }
    }

    /// Signs in where that is due, or where the token is signed with another key by now; gives what is known.
    pub async fn look(&mut self, metrics: &IssuerMetrics) -> SignedIn {
        let token = OwnToken::in_file(&self.token_file).ok();
        let is_of_another_key = match (&self.last, &token) {
            (Some(Last::Taken { issuer, kid, .. }), Some(token)) => {
                (issuer, kid) != (&token.issuer, &token.kid)
            }
            _ => false,
        };
        if Instant::now() >= self.due || is_of_another_key {
            self.sign_in(token, metrics).await;
        }
        match &self.last {
            None => SignedIn::NothingKnown,
            Some(Last::Refused(words)) => SignedIn::Refused(words.clone()),
            Some(Last::Taken { issuer, kid, at }) => SignedIn::Taken {
                issuer: issuer.clone(),
                kid: kid.clone(),
                ago: at.elapsed(),
            },
        }
    }

    async fn sign_in(&mut self, before: Option<OwnToken>, metrics: &IssuerMetrics) {
        let outcome = (self.sign_in)().await;
        // One that was replaced meanwhile: it is not known which of the two was sent.
        let after = OwnToken::in_file(&self.token_file).ok();
        let sent = before.filter(|it| after.as_ref().is_some_and(|after| after.kid == it.kid));
        let now = Instant::now();
        let next = match (outcome, sent) {
            (Ok(()), Some(OwnToken { issuer, kid, .. })) => {
                metrics.note(|known| known.proven = Some(now));
                self.last = Some(Last::Taken {
                    issuer,
                    kid,
                    at: now,
                });
                EVERY
            }
            (Ok(()), None) => AGAIN,
            (Err(error), _) => {
                if let Some(words) = of_the_issuer(&error) {
                    self.last = Some(Last::Refused(words));
                }
                AGAIN
            }
        };
        self.due = now + next.mul_f64(jitter::factor(0.9..=1.0));
    }
}

/// Entra's words, where it refuses the token for its issuer. They have neither a time nor an id in them.
fn of_the_issuer(error: &AzureError) -> Option<String> {
    let code = error.code().filter(|code| OF_THE_ISSUER.contains(code))?;
    Some(match error.message() {
        Some(message) if message.starts_with(code) => message.to_owned(),
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::azure::AzureErrorKind;
    use crate::issuer::tokens::write_token;

    const ISSUER: &str = "https://oidc.example/";

    type Answers = Arc<Mutex<Vec<Result<(), AzureError>>>>;

    /// Answers these, the last first; and how many are left says how often it was asked.
    fn proof(answers: Vec<Result<(), AzureError>>) -> (Proof, TempDir, Answers) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        write_token(&file, ISSUER, "k1", 100);
        let answers = Arc::new(Mutex::new(answers));
        let left = Arc::clone(&answers);
        let sign_in = move || {
            let next = left.lock().unwrap().pop().unwrap();
            std::future::ready(next).boxed()
        };
        (Proof::new(Box::new(sign_in), file), folder, answers)
    }

    fn refused(code: &str) -> Result<(), AzureError> {
        Err(AzureError::from_sign_in(crate::azure::error::Answer {
            status: 400,
            code: Some(code),
            message: Some(&format!("{code}: no.")),
            ..Default::default()
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_each_hour_proves_the_key_that_it_was_made_with() {
        let (mut proof, folder, answers) = proof(vec![Ok(()), Ok(()), Ok(())]);
        let metrics = IssuerMetrics::default();
        let taken = |kid: &str, ago: u64| SignedIn::Taken {
            issuer: ISSUER.to_owned(),
            kid: kid.to_owned(),
            ago: Duration::from_secs(ago),
        };
        assert_eq!(proof.look(&metrics).await, taken("k1", 0));
        tokio::time::advance(Duration::from_secs(3000)).await;
        assert_eq!(proof.look(&metrics).await, taken("k1", 3000));
        assert_eq!(answers.lock().unwrap().len(), 2);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(proof.look(&metrics).await, taken("k1", 0));
        // Another key is proven at once.
        write_token(&folder.path().join("token"), ISSUER, "k2", 200);
        assert_eq!(proof.look(&metrics).await, taken("k2", 0));
        assert_eq!(answers.lock().unwrap().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_about_the_issuer_is_said_of_it() {
        let metrics = IssuerMetrics::default();
        for code in OF_THE_ISSUER {
            let (mut proof, _folder, _) = proof(vec![Ok(()), refused(code)]);
            let said = proof.look(&metrics).await;
            assert_eq!(said, SignedIn::Refused(format!("{code}: no.")));
            tokio::time::advance(AGAIN).await;
            assert!(matches!(proof.look(&metrics).await, SignedIn::Taken { .. }));
        }
        let unavailable = || Err(AzureError::local(AzureErrorKind::SignInUnavailable, "down"));
        for other in [
            refused("AADSTS700213"),
            refused("AADSTS70025"),
            unavailable(),
        ] {
            let (mut proof, _folder, _) = proof(vec![other]);
            assert_eq!(proof.look(&metrics).await, SignedIn::NothingKnown);
        }
        // What was proven stays so while nothing is heard.
        let (mut proof, _folder, _) = proof(vec![unavailable(), Ok(())]);
        proof.look(&metrics).await;
        tokio::time::advance(EVERY).await;
        assert!(matches!(proof.look(&metrics).await, SignedIn::Taken { .. }));
    }
}
