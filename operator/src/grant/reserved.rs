//! What no grant gives away: the ServiceAccount that the operator itself signs in with, and all others of its namespace.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use azwib_crds::Subject;
use tokio::time::Instant;

use crate::azure::auth::Claims;
use crate::runtime::lock::lock;

/// How long a token that cannot be read is not looked at again.
const PAUSE: Duration = Duration::from_secs(10);

/// What no grant gives away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reserved {
    #[error(
        "the namespace \"{0}\" is that of the operator's own service account: no binding is served there, whatever grants say; create \
         the binding in another namespace"
    )]
    Namespace(String),
    #[error(
        "the managed identity {0} is the operator's own: whoever acts as it can bind any identity, so it is never bound, whatever \
         grants say; use another managed identity"
    )]
    Identity(String),
}

/// The namespace of the operator's own ServiceAccount, from the token that it signs in with.
#[derive(Debug, Default)]
pub struct OwnNamespace {
    token_file: Option<PathBuf>,
    namespace: OnceLock<String>,
    tried: Mutex<Option<Instant>>,
}

impl OwnNamespace {
    /// As the token in this file says; none where the operator signs in without one.
    pub fn of(token_file: Option<PathBuf>) -> Self {
        Self {
            token_file,
            ..Self::default()
        }
    }

    /// Whether it is this one.
    pub fn is(&self, namespace: &str) -> bool {
        self.get().is_some_and(|own| own == namespace)
    }

    fn get(&self) -> Option<&str> {
        if let Some(namespace) = self.namespace.get() {
            return Some(namespace);
        }
        let file = self.token_file.as_ref()?;
        let mut tried = lock(&self.tried);
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *tried = Some(Instant::now());
        drop(tried);
        let token = fs::read_to_string(file).ok()?;
        let subject = Subject::parse(&Claims::of(&token)?.sub?).ok()?;
        let (namespace, _) = subject.service_account()?;
        Some(self.namespace.get_or_init(|| namespace.to_owned()))
    }
}
