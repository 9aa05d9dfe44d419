//! What all probes work with: identities, credentials, waiting.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::arm::{Answer, Arm, GroupId, IdentityId, Request};
use crate::assumed::{Assumed, PARENT_CODE};
use crate::error::Error;

/// The issuer of all credentials here. The name cannot exist (RFC 2606), so nobody can sign in by them.
const ISSUER: &str = "https://conformance.invalid/";

/// The first pause between two requests.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Asking again and again, and less often with time.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// The time between two requests, at most.
    pub poll: Duration,
    /// The time after which it is given up.
    pub patience: Duration,
}

impl Waiting {
    /// Pauses before the next request about something that is waited for since a moment.
    ///
    /// # Errors
    /// It has taken too long, with what it was.
    pub async fn pause(&self, since: Instant, what: impl Fn() -> String) -> Result<(), Error> {
        if since.elapsed() + self.poll > self.patience {
            return Err(Error::Impatient {
                what: what(),
                seconds: since.elapsed().as_secs(),
            });
        }
        let pause = (since.elapsed() / 4).max(FIRST_PAUSE).min(self.poll);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// What a probe works with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The client.
    pub arm: &'a Arm,
    /// The resource group.
    pub group: &'a GroupId,
    /// The region of its identities.
    pub location: &'a str,
    /// Regions to ask for credentials.
    pub regions: &'a [String],
    /// How to wait.
    pub waiting: Waiting,
    /// What the simulator does.
    pub assumed: Assumed,
    /// An identity that takes no more credentials; two probes use it.
    pub(super) full: OnceCell<FullIdentity>,
}

/// An identity that takes no more credentials, and what was found while it was filled.
#[derive(Debug)]
pub(super) struct FullIdentity {
    pub(super) identity: IdentityId,
    /// The credentials that it took.
    pub(super) credentials: usize,
    /// The refusal of one more; `None`: it took as many as were tried.
    pub(super) refusal: Option<Answer>,
}

/// A write to a new identity, and when it was sent and answered: so long after the identity was made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) sent: Duration,
    pub(super) answered: Duration,
    pub(super) answer: Answer,
}

impl<'a> Context<'a> {
    /// For one run.
    pub fn new(
        arm: &'a Arm,
        group: &'a GroupId,
        location: &'a str,
        regions: &'a [String],
        waiting: Waiting,
    ) -> Self {
        Self {
            arm,
            group,
            location,
            regions,
            waiting,
            assumed: Assumed::default(),
            full: OnceCell::new(),
        }
    }

    /// Makes an identity. Returns it, and when that was answered.
    pub(super) async fn create_identity(
        &self,
        name: &str,
        location: &str,
    ) -> Result<(IdentityId, Instant), Error> {
        let identity = self.group.identity(name);
        let body = json!({"location": location});
        self.arm.succeed(&Request::put(identity.id(), body)).await?;
        Ok((identity, Instant::now()))
    }

    /// Makes an identity with the credential `first`, and waits until it takes credentials.
    pub(super) async fn identity(&self, name: &str) -> Result<IdentityId, Error> {
        let (identity, created) = self.create_identity(name, self.location).await?;
        self.settle(&identity, created, 1).await?;
        Ok(identity)
    }

    /// Writes the credential `first` again and again until that has succeeded so many times in a row.
    pub(super) async fn settle(
        &self,
        identity: &IdentityId,
        created: Instant,
        successes: usize,
    ) -> Result<Vec<Attempt>, Error> {
        let mut attempts: Vec<Attempt> = Vec::new();
        loop {
            let sent = created.elapsed();
            let answer = self.arm.send(&put(identity, "first")).await?;
            // A valid write is refused here because the identity is new, unless it is for these.
            if answer.is_about_rights()
                || matches!(answer.status, 405 | 500..)
                || answer.code() == "RequestDisallowedByPolicy"
            {
                return self.arm.refused("write a credential", answer);
            }
            attempts.push(Attempt {
                sent,
                answered: created.elapsed(),
                answer,
            });
            let in_a_row = attempts.iter().rev();
            if in_a_row.take_while(|it| it.answer.is_success()).count() == successes {
                return Ok(attempts);
            }
            let latest = attempts.last().map(|it| it.answer.to_string());
            let what = || {
                format!(
                    "{} takes no credential ({})",
                    identity.id(),
                    latest.clone().unwrap_or_default()
                )
            };
            self.waiting.pause(created, what).await?;
        }
    }

    /// Writes a credential, and again where the identity is still too new to be found.
    pub(super) async fn write(&self, request: &Request) -> Result<Answer, Error> {
        let started = Instant::now();
        loop {
            let answer = self.arm.send(request).await?;
            if answer.code() != PARENT_CODE {
                return Ok(answer);
            }
            self.waiting
                .pause(started, || format!("still {answer}"))
                .await?;
        }
    }

    /// Writes a credential that has to be taken.
    pub(super) async fn written(&self, request: &Request) -> Result<Answer, Error> {
        let answer = self.write(request).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        self.arm.refused("write a credential", answer)
    }
}

/// The write of a credential whose subject is its name.
pub(super) fn put(identity: &IdentityId, name: &str) -> Request {
    Request::put(identity.credential(name), credential(name))
}

/// A credential.
pub(super) fn credential(subject: &str) -> Value {
    json!({"properties": {
        "issuer": ISSUER,
        "subject": subject,
        "audiences": ["api://AzureADTokenExchange"],
    }})
}
