//! An identity that takes no more credentials.

use super::context::{Context, FullIdentity, put};
use crate::error::Error;

impl Context<'_> {
    /// So many credentials are written at most.
    fn most_credentials(&self) -> usize {
        2 * self.assumed.credential_limit
    }

    /// It, filled when it is asked for first.
    pub(super) async fn full_identity(&self) -> Result<&FullIdentity, Error> {
        self.full.get_or_try_init(|| self.fill()).await
    }

    async fn fill(&self) -> Result<FullIdentity, Error> {
        let identity = self.identity("limit").await?;
        let mut credentials = 1;
        while credentials < self.most_credentials() {
            let request = put(&identity, &format!("credential-{:02}", credentials + 1));
            let mut answer = self.write(&request).await?;
            if !answer.is_success() {
                // What is refused twice is not a passing trouble.
                tokio::time::sleep(self.waiting.poll).await;
                answer = self.write(&request).await?;
            }
            if answer.is_about_rights() || answer.status >= 500 {
                return self.arm.refused("write a credential", answer);
            }
            if !answer.is_success() {
                return Ok(FullIdentity {
                    identity,
                    credentials,
                    refusal: Some(answer),
                });
            }
            credentials += 1;
        }
        Ok(FullIdentity {
            identity,
            credentials,
            refusal: None,
        })
    }
}
