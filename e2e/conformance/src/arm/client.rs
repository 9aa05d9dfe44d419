//! Sending requests.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::{Answer, advice};
use crate::error::Error;
use crate::token::{self, Token};

/// The API version of identities and credentials. Every cloud has it.
const IDENTITIES: &str = "2023-01-31";
/// So many times a request without an answer, or with one of a server in trouble, is sent again.
const RETRIES: u32 = 3;
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(100);

/// A request: the same one can be sent several times.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    path: String,
    version: &'static str,
    body: Option<Value>,
}

impl Request {
    fn new(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        Self {
            method,
            path: path.into(),
            version: IDENTITIES,
            body,
        }
    }

    /// Reads what has this id, or the path and query of a link to a next page.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, None)
    }

    /// Writes.
    pub fn put(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PUT, path, Some(body))
    }

    /// Deletes.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, None)
    }

    /// With another API version.
    #[must_use]
    pub fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    fn describe(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A signed-in client.
#[derive(Debug)]
pub struct Arm {
    http: Client,
    endpoint: String,
    token_command: String,
    token: Mutex<Token>,
    poll: Duration,
    patience: Duration,
}

impl Arm {
    /// Signs in.
    ///
    /// # Errors
    /// There is no token, or the file of certificate authorities cannot be used.
    pub async fn sign_in(
        endpoint: &Url,
        ca_file: Option<&Path>,
        token_command: String,
        poll: Duration,
        patience: Duration,
    ) -> Result<Self, Error> {
        let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
        let mut builder = Client::builder().timeout(REQUEST_TIMEOUT);
        if let Some(path) = ca_file {
            for certificate in certificates(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(|error| Error::Unreachable {
            endpoint: endpoint.clone(),
            why: chain(&error),
        })?;
        let token = token::acquire(&token_command).await?;
        Ok(Self {
            http,
            endpoint,
            token_command,
            token: Mutex::new(token),
            poll,
            patience,
        })
    }

    /// Path and query of a link in an answer; nothing where it leads to another server, which must not see the token.
    pub fn own_path(&self, link: &str) -> Option<String> {
        let (link, own) = (Url::parse(link).ok()?, Url::parse(&self.endpoint).ok()?);
        let query = link.query().unwrap_or_default();
        (link.origin() == own.origin()).then(|| format!("{}?{query}", link.path()))
    }

    /// The token in use.
    pub async fn token(&self) -> Token {
        self.token.lock().await.clone()
    }

    /// Sends a request, and waits where it is told to (429).
    ///
    /// # Errors
    /// There is no answer, the token is refused, or the throttling takes too long.
    pub async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let started = Instant::now();
        loop {
            let answer = self.send_once(request).await?;
            if answer.status != 429 {
                return Ok(answer);
            }
            let wait = answer.wait();
            if started.elapsed() + wait > self.patience {
                return self.refused(&request.describe(), answer);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request that has to succeed.
    ///
    /// # Errors
    /// As `send`, and another answer than a success.
    pub async fn succeed(&self, request: &Request) -> Result<Answer, Error> {
        let answer = self.send(request).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        self.refused(&request.describe(), answer)
    }

    /// The error for an answer that is no success.
    ///
    /// # Errors
    /// Always.
    pub fn refused<T>(&self, doing: &str, answer: Answer) -> Result<T, Error> {
        Err(Error::Refused {
            doing: doing.to_owned(),
            advice: advice(&answer),
            answer: Box::new(answer),
        })
    }

    /// Sends a request and returns the answer, 429 too. A token that has expired is replaced.
    ///
    /// # Errors
    /// There is no answer, or the token is refused.
    pub async fn send_once(&self, request: &Request) -> Result<Answer, Error> {
        let token = self.token().await;
        let answer = self.attempt(request, &token).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let renewed = self.renew(&token).await?;
        let answer = self.attempt(request, &renewed).await?;
        if answer.status == 401 {
            return Err(Error::TokenRefused(Box::new(answer)));
        }
        Ok(answer)
    }

    /// Another token than the one that was refused; of several requests at once, one asks for it.
    async fn renew(&self, refused: &Token) -> Result<Token, Error> {
        let mut token = self.token.lock().await;
        if token.secret() == refused.secret() {
            *token = token::acquire(&self.token_command).await?;
        }
        Ok(token.clone())
    }

    async fn attempt(&self, request: &Request, token: &Token) -> Result<Answer, Error> {
        let mut failures = 0;
        loop {
            let result = self.exchange(request, token).await;
            let is_trouble = match &result {
                Ok(answer) => matches!(answer.status, 500 | 502 | 503 | 504),
                Err(_) => true,
            };
            failures += 1;
            if !is_trouble || failures > RETRIES {
                return result.map_err(|error| Error::Unreachable {
                    endpoint: self.endpoint.clone(),
                    why: chain(&error.without_url()),
                });
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    async fn exchange(&self, request: &Request, token: &Token) -> Result<Answer, reqwest::Error> {
        let mut url = format!("{}{}", self.endpoint, request.path);
        // A link to a next page has its version already.
        if !request.path.contains('?') {
            url = format!("{url}?api-version={}", request.version);
        }
        let mut builder = self
            .http
            .request(request.method.clone(), url)
            .bearer_auth(token.secret());
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await?;
        let retry_after = response.headers().get("retry-after");
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after.map(|value| String::from_utf8_lossy(value.as_bytes()).into()),
            body: serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null),
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let refuse = |why: String| Error::CaFile {
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(chain(&error)))?;
    if certificates.is_empty() {
        return Err(refuse("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
