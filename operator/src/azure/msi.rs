//! The port over `azure_mgmt_msi`: the only file that imports that crate.

use std::{collections::HashSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core_legacy::{Continuable, RetryOptions, StatusCode, TransportOptions};
use azure_mgmt_msi::package_2023_01_31::{
    Client,
    models::{FederatedIdentityCredential, FederatedIdentityCredentialProperties},
};
use azwib_crds::{ClientId, CredentialName, Guid, ManagedIdentityId};
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt};

use super::{
    AzureError, AzureErrorKind, Cause, CredentialContent, CredentialPage, CredentialPages, Deleted,
    Identity, IdentityService, ListedCredential, Put,
    auth::{
        AuthConfig, Authorization, Claims, LegacyCredential, SignIn, SignInMetrics, SignInOptions,
        TokenSource,
    },
    cloud::Cloud,
    error::SetupError,
    metrics::RequestMetrics,
    transport::{Exchange, Http, HttpOptions, ResourceManagerTransport, SignInTransport},
};
use crate::leader::Claim;

/// An identity has at most 20 credentials, and a page brings one at least. A listing with more pages or more credentials
/// than this does not end, and nothing of it is kept.
const MAX_PAGES: usize = 50;
const MAX_CREDENTIALS: usize = 500;

/// How calls to Azure are made.
#[derive(Debug, Clone)]
pub struct MsiOptions {
    /// The time for one request, and for one sign-in.
    pub request_timeout: Duration,
    /// PEM certificates to trust in addition to the bundled public ones.
    pub ca_file: Option<PathBuf>,
}

/// Resource Manager's managed identity API, version 2023-01-31.
pub struct MsiIdentityService {
    client: Client,
    parts: Parts,
}

/// What services have in common that differ in their claims.
#[derive(Clone)]
struct Parts {
    http: Http,
    cloud: Cloud,
    authorization: Authorization,
    tokens: Arc<TokenSource>,
    requests: RequestMetrics,
}

impl MsiIdentityService {
    /// Builds the client. Nothing is sent yet: Azure may be down when the operator starts.
    ///
    /// # Errors
    /// [`SetupError`] names what is wrong: an unreadable token file, a CA file without certificates, a tenant that
    /// cannot be one.
    pub fn new(cloud: &Cloud, auth: AuthConfig, options: MsiOptions) -> Result<Self, SetupError> {
        Self::with_authorization(cloud, auth, options, Authorization::BelowTheLogLine)
    }

    /// For a test that shows that the guard of [`Authorization::BelowTheLogLine`] is needed.
    #[doc(hidden)]
    pub fn with_authorization(
        cloud: &Cloud,
        auth: AuthConfig,
        options: MsiOptions,
        authorization: Authorization,
    ) -> Result<Self, SetupError> {
        let http = Http::new(&HttpOptions {
            request_timeout: options.request_timeout,
            ca_file: options.ca_file,
        })?;
        Self::over(http, cloud, auth, options.request_timeout, authorization)
    }

    /// For a simulation: the same service, with something in the place of the network.
    #[doc(hidden)]
    pub fn simulated(
        exchange: Arc<dyn Exchange>,
        cloud: &Cloud,
        auth: AuthConfig,
        request_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let authorization = Authorization::BelowTheLogLine;
        let http = Http::Simulated(exchange);
        Self::over(http, cloud, auth, request_timeout, authorization)
    }

    /// What has become of its requests so far.
    pub fn requests(&self) -> &RequestMetrics {
        &self.parts.requests
    }

    /// What has become of its sign-ins so far.
    pub fn sign_ins(&self) -> &SignInMetrics {
        self.parts.tokens.metrics()
    }

    /// A sign-in that is made now, whatever token is held.
    pub fn signing_in(
        &self,
    ) -> impl Fn() -> BoxFuture<'static, Result<(), AzureError>> + Send + Sync + use<> {
        let tokens = Arc::clone(&self.parts.tokens);
        move || {
            let tokens = Arc::clone(&tokens);
            async move { tokens.sign_in_afresh().await }.boxed()
        }
    }

    fn over(
        http: Http,
        cloud: &Cloud,
        auth: AuthConfig,
        request_timeout: Duration,
        authorization: Authorization,
    ) -> Result<Self, SetupError> {
        let sign_in = SignIn::new(
            auth,
            SignInOptions {
                authority_host: cloud.authority_host().clone(),
                scope: cloud.scope(),
                timeout: request_timeout,
                transport: SignInTransport::new(http.clone()),
            },
        )?;
        let parts = Parts {
            http,
            cloud: cloud.clone(),
            authorization,
            tokens: Arc::new(TokenSource::new(sign_in)),
            requests: RequestMetrics::default(),
        };
        Self::of(parts, Claim::of_the_only_process())
    }

    /// The same service, whose writes are sent while this claim is held.
    ///
    /// # Errors
    /// None that [`Self::new`] would not have given.
    pub fn claiming(&self, claim: Claim) -> Result<Self, SetupError> {
        Self::of(self.parts.clone(), claim)
    }

    fn of(parts: Parts, claim: Claim) -> Result<Self, SetupError> {
        let credential = LegacyCredential::new(parts.authorization, &parts.tokens);
        let transport = ResourceManagerTransport {
            http: parts.http.clone(),
            tokens: Arc::clone(&parts.tokens),
            resource_manager: parts.cloud.resource_manager().clone(),
            authorization: parts.authorization,
            requests: parts.requests.clone(),
            claim,
        };
        let client = Client::builder(Arc::new(credential))
            .endpoint(parts.cloud.resource_manager().clone())
            .scopes(&[&parts.cloud.scope()])
            .retry(RetryOptions::none())
            .transport(TransportOptions::new(Arc::new(transport)))
            .build()
            .map_err(|_| SetupError::Client("its endpoint is not accepted".to_owned()))?;
        Ok(Self { client, parts })
    }
}

impl fmt::Debug for MsiIdentityService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsiIdentityService").finish_non_exhaustive()
    }
}

#[async_trait]
impl IdentityService for MsiIdentityService {
    async fn signed_in_as(&self) -> Option<Claims> {
        self.parts.tokens.claims().await
    }

    async fn get_identity(&self, id: &ManagedIdentityId) -> Result<Identity, AzureError> {
        let identity = self
            .client
            .user_assigned_identities_client()
            .get(id.subscription_id(), id.resource_group(), id.name())
            .await
            .map_err(on_identity)?;
        let resource = identity.tracked_resource.resource;
        let is_asked_for = |other: &str| {
            ManagedIdentityId::parse(other).is_ok_and(|other| other.key() == id.key())
        };
        if !resource.id.as_deref().is_none_or(is_asked_for) {
            return Err(unexpected("azure's answer is about another resource"));
        }
        let properties = identity.properties.unwrap_or_default();
        let guid = |text: Option<String>, what: &str| {
            let guid = text.and_then(|text| Guid::parse(&text).ok());
            guid.ok_or_else(|| unexpected(&format!("azure's answer lacks {what} of the identity")))
        };
        let client_id = properties.client_id.unwrap_or_default();
        Ok(Identity {
            id: id.clone(),
            client_id: ClientId::parse(&client_id)
                .map_err(|_| unexpected("azure's answer lacks the client id of the identity"))?,
            principal_id: guid(properties.principal_id, "the principal id")?,
            tenant_id: guid(properties.tenant_id, "the tenant")?,
        })
    }

    fn list_credentials<'a>(&'a self, id: &ManagedIdentityId) -> CredentialPages<'a> {
        self.client
            .federated_identity_credentials_client()
            .list(id.subscription_id(), id.resource_group(), id.name())
            .into_stream()
            .map(|page| match page {
                Ok(page) => {
                    let next = page.continuation();
                    Ok((next, page.value.into_iter().map(listed).collect()))
                }
                Err(error) => Err(on_identity(error)),
            })
            .scan(Some(Pages::default()), |pages, page| {
                // After an error nothing is asked for any more.
                let checked = pages.as_mut().map(|pages| pages.check(page));
                if !matches!(checked, Some(Ok(_))) {
                    *pages = None;
                }
                ready(checked)
            })
            .boxed()
    }

    async fn get_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
    ) -> Result<Option<ListedCredential>, AzureError> {
        let (subscription, group, identity) =
            (id.subscription_id(), id.resource_group(), id.name());
        let credential = self
            .client
            .federated_identity_credentials_client()
            .get(subscription, group, identity, name.as_str())
            .await
            .map_err(from_sdk);
        match credential {
            Ok(credential) => {
                let credential = listed(credential);
                if !credential.name.eq_ignore_ascii_case(name.as_str()) {
                    return Err(unexpected("azure's answer is about another credential"));
                }
                Ok(Some(credential))
            }
            Err(error) if error.kind() == AzureErrorKind::CredentialNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
        content: &CredentialContent,
    ) -> Result<Put, AzureError> {
        let body = FederatedIdentityCredential {
            properties: Some(FederatedIdentityCredentialProperties::new(
                content.issuer.clone(),
                content.subject.clone(),
                content.audiences.clone(),
            )),
            ..FederatedIdentityCredential::default()
        };
        let response = self
            .client
            .federated_identity_credentials_client()
            .create_or_update(
                id.subscription_id(),
                id.resource_group(),
                id.name(),
                name.as_str(),
                body,
            )
            .send()
            .await
            .map_err(on_identity)?;
        let put = match response.as_raw_response().status() {
            StatusCode::Created => Put::Created,
            StatusCode::Ok => Put::Updated,
            status => return Err(unexpected_status(status)),
        };
        // An answer that says nothing of the content has its status all the same.
        let written = response.into_body().await.ok().map(listed);
        match written.and_then(|written| written.content) {
            // What came of it, a listing shows.
            Some(other) if other != *content => {
                let message = "azure says that it wrote another credential than it was asked to";
                Err(unexpected(message).of_lost_write())
            }
            _ => Ok(put),
        }
    }

    async fn delete_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
    ) -> Result<Deleted, AzureError> {
        let response = self
            .client
            .federated_identity_credentials_client()
            .delete(
                id.subscription_id(),
                id.resource_group(),
                id.name(),
                name.as_str(),
            )
            .send()
            .await
            .map_err(from_sdk);
        match response {
            Ok(response) => match response.as_raw_response().status() {
                StatusCode::Ok => Ok(Deleted::Deleted),
                StatusCode::NoContent => Ok(Deleted::DidNotExist),
                status => Err(unexpected_status(status)),
            },
            Err(error) if error.kind() == AzureErrorKind::CredentialNotFound => {
                Ok(Deleted::DidNotExist)
            }
            Err(error) => Err(error),
        }
    }
}

/// The pages of one listing so far.
#[derive(Default)]
struct Pages {
    /// Where each of them led.
    links: HashSet<String>,
    credentials: usize,
}

impl Pages {
    /// A page that follows those, unless the listing has lost its way.
    fn check(
        &mut self,
        page: Result<(Option<String>, Vec<ListedCredential>), AzureError>,
    ) -> Result<CredentialPage, AzureError> {
        let endless = |how: &str| Err(unexpected(how).with_cause(Cause::Endless));
        let (next, credentials) = page?;
        self.credentials += credentials.len();
        let has_next = next.is_some();
        if next.is_some_and(|next| !self.links.insert(next)) {
            return endless("the list of credentials leads back to a page that was read before");
        }
        if self.credentials > MAX_CREDENTIALS {
            return endless("the list of credentials has more entries than an identity can have");
        }
        if has_next && self.links.len() >= MAX_PAGES {
            return endless("the list of credentials does not end");
        }
        Ok(CredentialPage {
            credentials,
            has_next,
        })
    }
}

fn listed(credential: FederatedIdentityCredential) -> ListedCredential {
    ListedCredential {
        name: credential.proxy_resource.resource.name.unwrap_or_default(),
        content: credential.properties.map(|properties| CredentialContent {
            issuer: properties.issuer,
            subject: properties.subject,
            audiences: properties.audiences,
        }),
    }
}

/// The error that our transport made. The SDK's own text is never used: it may show parts of an answer.
fn from_sdk(error: azure_core_legacy::Error) -> AzureError {
    match error.downcast_ref::<AzureError>() {
        Some(error) => error.clone(),
        None => unexpected("azure's answer does not have the expected form"),
    }
}

/// The error that our transport made, for calls that need no credential to exist: a 404 then means that the identity is missing.
fn on_identity(error: azure_core_legacy::Error) -> AzureError {
    let error = from_sdk(error);
    match error.kind() {
        AzureErrorKind::CredentialNotFound => error.with_kind(AzureErrorKind::ParentNotFound),
        _ => error,
    }
}

fn unexpected(message: &str) -> AzureError {
    AzureError::local(AzureErrorKind::Unavailable, message).with_cause(Cause::Malformed)
}

/// A write with a success that means neither of what it may mean.
fn unexpected_status(status: StatusCode) -> AzureError {
    unexpected("azure's answer to a write is unexpected")
        .with_status(u16::from(status))
        .of_lost_write()
}
