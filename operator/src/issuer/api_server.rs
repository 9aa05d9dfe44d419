//! What the API server says of the tokens that it issues, and of what kind of cluster it is.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::document::{self, Document};
use super::keys::{self, Keys};
use super::platform::Traits;
use crate::azure::safe_line;

/// The time for one answer.
const WITHIN: Duration = Duration::from_secs(10);

/// The longest list of API groups that is read, in bytes.
const GROUPS_BYTES: usize = 1 << 20;

/// The API server, asked about itself.
#[derive(Clone)]
pub struct ApiServer(Client);

/// Why the API server has not said it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSaid {
    /// It serves no such document: the feature is off.
    #[error("the API server serves none (http status 404)")]
    Off,
    /// It has forbidden it.
    #[error(
        "the API server does not let the operator read it (http status {0}): bind the ClusterRole \
         system:service-account-issuer-discovery to its ServiceAccount, as Kubernetes does for all of them"
    )]
    Forbidden(u16),
    #[error("the API server answers with http status {0}")]
    Status(u16),
    #[error("the API server did not answer within {} s", WITHIN.as_secs())]
    Late,
    #[error("the API server cannot be asked")]
    NoAnswer,
    #[error("what the API server answers has more than {} kB", _0 >> 10)]
    TooLong(usize),
    #[error("what the API server answers cannot be read")]
    Unreadable,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git_version: String,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
}

impl ApiServer {
    /// Asked by this client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Its discovery document.
    ///
    /// # Errors
    /// It has none, or cannot be asked.
    pub async fn document(&self) -> Result<Document, NotSaid> {
        let text = self.get(document::PATH, document::MAX_BYTES).await?;
        document::read(&text).ok_or(NotSaid::Unreadable)
    }

    /// The keys that it verifies tokens with.
    ///
    /// # Errors
    /// It has none, or cannot be asked.
    pub async fn keys(&self) -> Result<Keys, NotSaid> {
        let text = self.get(keys::PATH, keys::MAX_BYTES).await?;
        Keys::read(&text).map_err(|_| NotSaid::Unreadable)
    }

    /// What tells of the platform. What cannot be read tells nothing.
    pub async fn traits(&self) -> Option<Traits> {
        let version = self.get("/version", document::MAX_BYTES).await.ok()?;
        let version: Version = serde_json::from_slice(&version).ok()?;
        let groups = self.get("/apis", GROUPS_BYTES).await.ok()?;
        let groups: Groups = serde_json::from_slice(&groups).ok()?;
        Some(Traits {
            version: safe_line(&version.git_version),
            groups: groups.groups.into_iter().map(|it| it.name).collect(),
        })
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, NotSaid> {
        let asked = timeout(WITHIN, self.ask(path, limit)).await;
        asked.unwrap_or(Err(NotSaid::Late))
    }

    async fn ask(&self, path: &str, limit: usize) -> Result<Vec<u8>, NotSaid> {
        let request = Request::builder().method(Method::GET).uri(path);
        let request = request.body(Body::empty()).map_err(|_| NotSaid::NoAnswer)?;
        let answer = self.0.send(request).await.map_err(|error| match error {
            kube::Error::Api(answer) => refused(answer.code),
            _ => NotSaid::NoAnswer,
        })?;
        match answer.status().as_u16() {
            200 => {}
            status => return Err(refused(status)),
        }
        let body = Limited::new(answer.into_body(), limit).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(NotSaid::TooLong(limit)),
            Err(_) => Err(NotSaid::NoAnswer),
        }
    }
}

fn refused(status: u16) -> NotSaid {
    match status {
        404 => NotSaid::Off,
        401 | 403 => NotSaid::Forbidden(status),
        _ => NotSaid::Status(status),
    }
}
