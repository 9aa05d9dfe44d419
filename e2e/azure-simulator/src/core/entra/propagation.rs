//! What a part of the directory knows of a client's credentials. Changes arrive after a delay, not everywhere at once, and a
//! failure keeps what was seen for a while. Source: `workload-identity-federation-considerations.md` of
//! MicrosoftDocs/entra-docs and the questions and answers of Azure/azure-workload-identity.

use jiff::Timestamp;

use super::assertion::{Assertion, IssuerDocuments};
use super::error::{EntraError, EntraResult};
use super::token_request::TokenRequest;
use crate::core::Azure;
use crate::core::state::{Client, FederatedCredential, NegativeEntry};
use crate::core::time::after;

impl Azure {
    /// The issuer whose documents may decide: one that a credential of the client trusts, as some part of the directory
    /// knows it.
    pub(crate) fn issuer_to_fetch(&self, token: &TokenRequest, now: Timestamp) -> Option<String> {
        let assertion = token.assertion()?;
        let client = token.client_id();
        let cached = self.state.negative_cache.get(&client);
        let former = self
            .former_credentials_while_converging(client, now)
            .map_or(&[][..], |(_, former)| former);
        self.state
            .visible_credentials(client, now)
            .iter()
            .chain(former)
            .chain(cached.map_or(&[][..], |entry| &entry.credentials))
            .any(|credential| assertion.is_from_issuer_of(credential))
            .then(|| assertion.claims.iss.clone())
    }

    /// Decides on an assertion with what the part of the directory knows that this request meets.
    pub(super) fn exchange(
        &mut self,
        client: &Client,
        assertion: &Assertion,
        documents: Option<&Result<IssuerDocuments, String>>,
        now: Timestamp,
    ) -> EntraResult<()> {
        let credentials = self.credentials_met(client, now);
        self.accept_assertion(client, &credentials, assertion, documents, now)
            .inspect_err(|error| {
                if error.is_mismatch() {
                    self.remember_failure(client, credentials, now);
                }
            })?;
        let tunables = &self.settings.tunables;
        if self
            .request_random
            .happens(tunables.exchange_failures_per_mille)
        {
            return Err(EntraError::no_subject(assertion.subject()));
        }
        Ok(())
    }

    fn credentials_met(&mut self, client: &Client, now: Timestamp) -> Vec<FederatedCredential> {
        let id = client.client_id;
        if let Some(entry) = self.state.negative_cache.get(&id)
            && now < entry.until
        {
            return entry.credentials.clone();
        }
        let stale = self
            .former_credentials_while_converging(id, now)
            .map(|(per_mille, _)| per_mille)
            .is_some_and(|per_mille| self.request_random.happens(per_mille));
        match self.state.former_credentials(id, now) {
            Some((_, former)) if stale => former.to_vec(),
            _ => self.state.visible_credentials(id, now).to_vec(),
        }
    }

    /// While a change is not everywhere: how many requests of a thousand meet a part without it, and what that knows.
    fn former_credentials_while_converging(
        &self,
        client: uuid::Uuid,
        now: Timestamp,
    ) -> Option<(u16, &[FederatedCredential])> {
        let window = self
            .settings
            .tunables
            .convergence_seconds
            .saturating_mul(1000);
        if window == 0 {
            return None;
        }
        let (since, former) = self.state.former_credentials(client, now)?;
        // What counts from the beginning of time on is everywhere.
        let elapsed = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
        let left = window.checked_sub(elapsed)?;
        let per_mille = left.saturating_mul(1000) / window;
        Some((u16::try_from(per_mille).unwrap_or(1000), former))
    }

    fn remember_failure(
        &mut self,
        client: &Client,
        credentials: Vec<FederatedCredential>,
        now: Timestamp,
    ) {
        let seconds = self.settings.tunables.negative_cache_seconds;
        let cache = &mut self.state.negative_cache;
        let is_remembered = cache
            .get(&client.client_id)
            .is_some_and(|entry| now < entry.until);
        if seconds > 0 && !is_remembered {
            let until = after(now, seconds.saturating_mul(1000));
            cache.insert(client.client_id, NegativeEntry { until, credentials });
        }
    }
}
