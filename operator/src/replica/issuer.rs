//! The issuer that a replica goes by while it leads.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::Issuer;
use tokio::time::{Instant, sleep, timeout};

use super::{Host, Replica};
use crate::kubeutil::pauses::Pauses;

/// How long a replica that takes over tries to learn the issuer before it tells that it does not know it, and how often.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const SETTLED_AGAIN: Duration = Duration::from_secs(1);

/// How long a replica that takes over waits for the first look at what the issuer publishes.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(3);

impl<H: Host> Replica<H> {
    /// Takes the issuer as it is now. An API server that has just started may not answer yet.
    pub(super) async fn settle_issuer(&self) {
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let value = self.issuer.value().await;
            let is_known = value.is_ok();
            match &value {
                Ok(issuer) => tracing::info!(%issuer, "the issuer of the cluster's tokens"),
                Err(why) => tracing::warn!(%why, "azwib writes nothing until the issuer is known"),
            }
            self.take_issuer(value);
            if is_known {
                return self.issuer_looked_at().await;
            }
            if Instant::now() >= until {
                return;
            }
            sleep(SETTLED_AGAIN).await;
        }
    }

    /// Waits a moment for the first look at the issuer, where somebody looks: what is provably wrong stops new credentials.
    async fn issuer_looked_at(&self) {
        let issuer = self.defaults.borrow().issuer.clone();
        let mut said = self.settings.issuer.clone();
        let looked_at = said.wait_for(|said| said.about.as_ref() == Some(&issuer));
        // Nobody looks in a simulation, and a look that takes longer stops nothing.
        let _ = timeout(LOOKED_AT_WITHIN, looked_at).await;
    }

    fn take_issuer(&self, value: Result<Issuer, Arc<str>>) {
        self.defaults.send_modify(|defaults| {
            let (issuer, unknown) = match value {
                Ok(issuer) => (issuer, None),
                Err(why) => (Issuer::of_nobody(), Some(why)),
            };
            defaults.issuer = issuer;
            defaults.unknown_issuer = unknown;
        });
    }

    /// Over once the issuer is known, where it was not.
    pub(super) async fn issuer_known(&self) {
        if self.defaults.borrow().unknown_issuer.is_none() {
            return pending().await;
        }
        let mut pauses = Pauses::default();
        while self.issuer.value().await.is_err() {
            sleep(pauses.next().unwrap_or(SETTLED_WITHIN)).await;
        }
    }
}
