//! One sign-in with a credential of `azure_identity`.

use std::{error::Error as _, fs, io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::TokenCredential,
    error::ErrorKind,
    http::{ClientMethodOptions, ClientOptions, Transport},
};
use azure_identity::{
    AzureCliCredential, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use time::OffsetDateTime;
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use super::cache::FreshToken;
use super::config::AuthConfig;
use super::token::BearerToken;
use crate::azure::{
    error::{AzureError, AzureErrorKind, Cause, SetupError, safe_line},
    transport::SignInTransport,
};

const TOKEN_FILE: &str = "azure-federated-token-file";

/// No token lives longer than a day (those of managed identities do live that long): who says so is not believed.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a sign-in needs besides the configured way.
#[derive(Debug)]
pub(crate) struct SignInOptions {
    pub(crate) authority_host: Url,
    pub(crate) scope: String,
    /// The time for one sign-in, whatever it takes.
    pub(crate) timeout: Duration,
    pub(crate) transport: SignInTransport,
}

/// Makes a new credential object for each sign-in: those of `azure_identity` keep tokens (and the workload identity
/// its file) inside, with no way to drop them, and one of them keeps none. Keeping is our cache's job.
#[derive(Debug)]
pub(crate) struct SignIn {
    config: AuthConfig,
    client: ClientOptions,
    scope: String,
    timeout: Duration,
}

impl SignIn {
    /// Checks all of the configuration that can be checked without asking Azure.
    pub(crate) fn new(config: AuthConfig, options: SignInOptions) -> Result<Self, SetupError> {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = options.authority_host.into();
        let sign_in = Self {
            client: ClientOptions {
                cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
                transport: Some(Transport::new(Arc::new(options.transport))),
                ..ClientOptions::default()
            },
            scope: options.scope,
            timeout: options.timeout,
            config,
        };
        if let AuthConfig::WorkloadIdentity { token_file, .. } = &sign_in.config {
            let assertion = AssertionFile(token_file.clone()).read();
            let assertion = assertion.map_err(|source| SetupError::Unreadable {
                flag: TOKEN_FILE,
                path: token_file.clone(),
                source,
            })?;
            if assertion.is_empty() {
                return Err(SetupError::Unusable {
                    flag: TOKEN_FILE,
                    path: token_file.clone(),
                    problem: "is empty",
                });
            }
        }
        sign_in
            .credential()
            .map_err(|error| SetupError::SignIn(safe_line(&error.to_string())))?;
        Ok(sign_in)
    }

    /// Asks for a token, once.
    pub(super) async fn sign_in(&self) -> Result<FreshToken, AzureError> {
        let credential = self.credential().map_err(|error| self.failure(&error))?;
        let scopes = [self.scope.as_str()];
        let token = timeout(self.timeout, credential.get_token(&scopes, None))
            .await
            .map_err(|_| {
                unavailable("signing in to azure took too long").with_cause(Cause::AnswerTimeout)
            })?
            .map_err(|error| self.failure(&error))?;
        let lifetime = token.expires_on - OffsetDateTime::now_utc();
        Ok(FreshToken {
            token: BearerToken::new(token.token.secret())
                .ok_or_else(|| unavailable("the answer of the authority has no token in it"))?,
            lifetime: Duration::try_from(lifetime)
                .unwrap_or_default()
                .min(LONGEST_LIFETIME),
        })
    }

    fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = self.client.clone();
        Ok(match &self.config {
            AuthConfig::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file,
            } => ClientAssertionCredential::new(
                tenant_id.clone(),
                client_id.to_string(),
                AssertionFile(token_file.clone()),
                Some(ClientAssertionCredentialOptions { client_options }),
            )?,
            AuthConfig::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id
                        .as_ref()
                        .map(|id| UserAssignedId::ClientId(id.to_string())),
                    client_options,
                }))?
            }
            AuthConfig::ClientSecret {
                tenant_id,
                client_id,
                secret,
            } => ClientSecretCredential::new(
                tenant_id,
                client_id.to_string(),
                secret.clone(),
                Some(ClientSecretCredentialOptions { client_options }),
            )?,
            AuthConfig::AzureCli => AzureCliCredential::new(None)?,
        })
    }

    /// Our own error where one is at the bottom. `azure_identity` makes others from the parts of an answer, so their
    /// text is kept only where no answer went through it.
    fn failure(&self, error: &azure_core::Error) -> AzureError {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(ours) = error.downcast_ref::<AzureError>() {
                return ours.clone();
            }
            cause = error.source();
        }
        match self.config {
            AuthConfig::AzureCli => {
                AzureError::local(AzureErrorKind::SignInFailed, &error.to_string())
            }
            _ => unavailable("the answer of the authority is not a token"),
        }
    }
}

fn unavailable(message: &str) -> AzureError {
    AzureError::local(AzureErrorKind::SignInUnavailable, message).with_cause(Cause::Malformed)
}

/// A Kubernetes token in a file, read for each exchange.
#[derive(Debug)]
struct AssertionFile(PathBuf);

impl AssertionFile {
    fn read(&self) -> io::Result<Zeroizing<String>> {
        let text = Zeroizing::new(fs::read_to_string(&self.0)?);
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

#[async_trait]
impl ClientAssertion for AssertionFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        // The library wants a string of its own, which it does not zero.
        let assertion = self.read().map_err(|error| {
            let message = format!("--{TOKEN_FILE}: cannot read {:?}: {error}", self.0);
            let error = AzureError::local(AzureErrorKind::SignInFailed, &message);
            azure_core::Error::new(ErrorKind::Credential, error)
        })?;
        Ok(assertion.as_str().to_owned())
    }
}
