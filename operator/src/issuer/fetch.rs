//! Reads what an issuer publishes, as anybody on the internet would: by https, without a redirect, bounded, and with nothing of ours in
//! the request.
//!
//! A document may lead anywhere. So a name is resolved once, its addresses are checked, and the connection goes to one of those: a name
//! that is resolved again for the connection could lead into this network by then.

mod resolver;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::Issuer;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, Client, ClientBuilder, Response, redirect};
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::resolver::{Checked, NoPublicAddress, Resolver};
use super::document::{self, InvalidDocument, address_of, keys_of};
use super::keys::{self, Keys};
use crate::azure::error::SetupError;
use crate::azure::{Cause, safe_line};

/// The time for both documents together, from the first name to the last byte.
const WITHIN: Duration = Duration::from_secs(10);

const CA_FILE: &str = "issuer-ca-file";

/// How public documents are read.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// PEM certificates to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// Addresses that the internet does not route are allowed.
    pub allow_private: bool,
}

/// Reads public documents.
#[derive(Debug, Clone)]
pub struct Fetch {
    direct: Client,
    proxied: Client,
    proxies: Arc<Matcher>,
    allow_private: bool,
    /// Other certificate authorities than the public ones are trusted.
    trusts_others: bool,
}

/// What an issuer publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub keys: Keys,
    /// It was read by way of a proxy: which address that has asked was not checked.
    pub through_proxy: bool,
}

impl Looked {
    /// What it does not prove, for a message; nothing where it proves all.
    pub fn note(&self, by: &Fetch) -> String {
        let notes = [
            (
                self.through_proxy,
                "they came by way of a proxy, and the address that it asked was not checked",
            ),
            (
                by.trusts_others,
                "with --issuer-ca-file it is not proven that Microsoft Entra trusts the certificate of their server",
            ),
        ];
        let said: Vec<_> = notes.iter().filter(|it| it.0).map(|it| it.1).collect();
        said.join("; ")
    }
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// Nothing is known to be wrong.
    #[error("cannot read {address}: {why}")]
    CouldNotLook { address: String, why: String },
    #[error(transparent)]
    Invalid(InvalidDocument),
}

impl Fetch {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// The file has no certificates.
    pub fn new(options: &FetchOptions) -> Result<Self, SetupError> {
        let resolver = match options.allow_private {
            true => Resolver::of_all(),
            false => Resolver::of_public(),
        };
        Self::resolving(options, resolver, Matcher::from_env())
    }

    fn resolving(
        options: &FetchOptions,
        resolver: Resolver,
        proxies: Matcher,
    ) -> Result<Self, SetupError> {
        let roots = options.ca_file.as_deref().map(certificates).transpose()?;
        let builder = || {
            let builder = Client::builder()
                .use_rustls_tls()
                .https_only(true)
                .http1_only()
                .redirect(redirect::Policy::none())
                .referer(false)
                // A later look resolves anew.
                .pool_max_idle_per_host(0);
            let roots = roots.iter().flatten().cloned();
            roots.fold(builder, ClientBuilder::add_root_certificate)
        };
        let build = |builder: ClientBuilder| {
            builder.build().map_err(|error| match &options.ca_file {
                Some(path) if error.is_builder() => unusable(path),
                _ => SetupError::Client(safe_line(&error.to_string())),
            })
        };
        let checked = Checked::new(resolver);
        Ok(Self {
            direct: build(builder().no_proxy().dns_resolver(Arc::new(checked)))?,
            proxied: build(builder())?,
            proxies: Arc::new(proxies),
            trusts_others: roots.is_some(),
            allow_private: options.allow_private,
        })
    }

    /// Reads the discovery document of an issuer, and the keys that it names.
    ///
    /// # Errors
    /// They cannot be read, or the document is none of this issuer.
    pub async fn look(&self, issuer: &Issuer) -> Result<Looked, NoKeys> {
        let until = Instant::now() + WITHIN;
        let address = address_of(issuer);
        let unreadable = |why: &str| NoKeys::CouldNotLook {
            address: safe_line(&address),
            why: why.to_owned(),
        };
        let url = document::checked_address(&address, self.allow_private);
        let url = url.map_err(|why| unreadable(&why.to_string()))?;
        let (text, first) = self.get(&url, document::MAX_BYTES, until).await?;
        let keys_at = keys_of(issuer, &text, self.allow_private).map_err(NoKeys::Invalid)?;
        let (text, second) = self.get(&keys_at, keys::MAX_BYTES, until).await?;
        let keys = Keys::read(&text).map_err(|why| NoKeys::CouldNotLook {
            address: safe_line(keys_at.as_str()),
            why: why.to_string(),
        })?;
        Ok(Looked {
            keys,
            through_proxy: first || second,
        })
    }

    /// What is at an address, and whether it came by way of a proxy.
    async fn get(
        &self,
        url: &Url,
        limit: usize,
        until: Instant,
    ) -> Result<(Vec<u8>, bool), NoKeys> {
        let through_proxy = self.is_proxied(url);
        let client = match through_proxy {
            true => &self.proxied,
            false => &self.direct,
        };
        let answer = timeout_at(until, read(client, url, limit)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("it took longer than {} s", WITHIN.as_secs())));
        match answer {
            Ok(text) => Ok((text, through_proxy)),
            Err(why) => Err(NoKeys::CouldNotLook {
                address: safe_line(url.as_str()),
                why,
            }),
        }
    }

    fn is_proxied(&self, url: &Url) -> bool {
        let uri = url.as_str().parse();
        uri.is_ok_and(|uri| self.proxies.intercept(&uri).is_some())
    }
}

async fn read(client: &Client, url: &Url, limit: usize) -> Result<Vec<u8>, String> {
    let mut answer = client
        .get(url.clone())
        .send()
        .await
        .map_err(|it| why(&it))?;
    refuse_what_is_no_success(&answer)?;
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|it| why(&it))? {
        if text.len() + part.len() > limit {
            return Err(format!("it has more than {} kB", limit >> 10));
        }
        text.extend_from_slice(&part);
    }
    Ok(text)
}

fn refuse_what_is_no_success(answer: &Response) -> Result<(), String> {
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!(
            "it answers with a redirect ({}), which is not followed",
            status.as_u16()
        ));
    }
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("it answers with http status {}", status.as_u16())),
    }
}

/// What stopped a request, in words that do not change from one try to the next.
fn why(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut last = None;
    while let Some(error) = cause {
        if let Some(no_address) = error.downcast_ref::<NoPublicAddress>() {
            return no_address.to_string();
        }
        last = Some(error.to_string());
        cause = error.source();
    }
    let words = match Cause::of(error) {
        Cause::Certificate => {
            "its certificate is not of a public certificate authority (nor of --issuer-ca-file), not valid now, or for another name"
        }
        Cause::Tls => "it does not speak TLS as it should",
        Cause::Name => "the name of its host cannot be resolved here",
        Cause::NoConnection => "no connection to it can be made",
        Cause::Proxy => "the proxy does not let the request through",
        Cause::ConnectTimeout | Cause::AnswerTimeout => "it did not answer in time",
        Cause::Lost => "the connection to it broke",
        _ => return safe_line(&last.unwrap_or_else(|| error.to_string())),
    };
    words.to_owned()
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = std::fs::read(path).map_err(|source| SetupError::Unreadable {
        flag: CA_FILE,
        path: path.to_owned(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(unusable(path)),
    }
}

fn unusable(path: &Path) -> SetupError {
    SetupError::Unusable {
        flag: CA_FILE,
        path: path.to_owned(),
        problem: "does not hold certificates in PEM form",
    }
}

#[cfg(test)]
mod tests;
