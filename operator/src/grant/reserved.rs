//! What no grant gives away: the ServiceAccount that the operator itself signs in with, and all others of its namespace.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use azwib_crds::{ResolvedIdentity, Subject};
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

/// Whether this identity is the one that the operator's own access token is for, by its client id or by its principal id.
pub fn is_own(own: &Claims, identity: &ResolvedIdentity) -> bool {
    let is = |own: &Option<String>, id: &str| {
        own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(id))
    };
    let principal = identity.principal_id.as_ref();
    is(&own.appid, &identity.client_id) || principal.is_some_and(|it| is(&own.oid, it))
}

/// The namespace of the operator's own ServiceAccount, from the token that it signs in with.
#[derive(Debug, Default)]
pub struct OwnNamespace {
    token_file: Option<PathBuf>,
    namespace: OnceLock<String>,
    tried: Mutex<Option<Instant>>,
}

impl OwnNamespace {
    /// As the token in this file says; not known where there is none.
    pub fn of(token_file: PathBuf) -> Self {
        Self {
            token_file: Some(token_file),
            ..Self::default()
        }
    }

    /// Whether it is this one.
    pub fn is(&self, namespace: &str) -> bool {
        self.get().is_some_and(|own| own == namespace)
    }

    /// Its name; `None` where that is not known.
    pub fn get(&self) -> Option<&str> {
        if let Some(namespace) = self.namespace.get() {
            return Some(namespace);
        }
        let file = self.token_file.as_ref()?;
        // Held while the file is read: who asks meanwhile waits for the answer, and does not take it for unknown.
        let mut tried = lock(&self.tried);
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return self.namespace.get().map(String::as_str);
        }
        *tried = Some(Instant::now());
        let token = fs::read_to_string(file).ok()?;
        let subject = Subject::parse(&Claims::of(&token)?.sub?).ok()?;
        let (namespace, _) = subject.service_account()?;
        Some(self.namespace.get_or_init(|| namespace.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const APP: &str = "00000000-0000-0000-0000-00000000000a";
    const OBJECT: &str = "00000000-0000-0000-0000-00000000000b";
    const OTHER: &str = "00000000-0000-0000-0000-00000000000c";

    #[tokio::test]
    async fn all_who_ask_at_once_learn_the_own_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let claims =
            URL_SAFE_NO_PAD.encode(r#"{"sub":"system:serviceaccount:azwib-system:azwib"}"#);
        for _ in 0..200 {
            fs::write(&file, format!("e30.{claims}.s")).unwrap();
            let own = OwnNamespace::of(file.clone());
            let asked = std::thread::scope(|scope| {
                let ask = || scope.spawn(|| own.is("azwib-system"));
                let asking = [ask(), ask(), ask(), ask()];
                asking.map(|it| it.join().unwrap())
            });
            assert_eq!(asked, [true; 4]);
        }
        // One that cannot be read is none.
        let none = OwnNamespace::of(folder.path().join("missing"));
        assert!(!none.is("azwib-system") && none.get().is_none());
    }

    #[test]
    fn the_operators_own_identity_is_known_by_either_of_its_ids() {
        for (appid, oid, client_id, principal_id, expected) in [
            (Some(APP), Some(OBJECT), APP, Some(OBJECT), true),
            (Some(APP), None, APP, Some(OTHER), true),
            (Some(APP), Some(OBJECT), APP, None, true),
            // A token that names no client id, or another one.
            (None, Some(OBJECT), APP, Some(OBJECT), true),
            (Some(OTHER), Some(OBJECT), APP, Some(OBJECT), true),
            (None, Some(&*OBJECT.to_uppercase()), APP, Some(OBJECT), true),
            (Some(APP), Some(OBJECT), OTHER, Some(OTHER), false),
            (Some(APP), Some(OBJECT), OTHER, None, false),
            (None, Some(""), OTHER, None, false),
            // An id of one kind says nothing about the other kind.
            (Some(APP), Some(OBJECT), OBJECT, Some(APP), false),
            (None, None, APP, Some(OBJECT), false),
        ] {
            let text = |it: Option<&str>| it.map(str::to_owned);
            let own = Claims {
                appid: text(appid),
                oid: text(oid),
                sub: None,
            };
            let identity = ResolvedIdentity {
                client_id: client_id.to_owned(),
                principal_id: text(principal_id),
                resource_id: None,
                tenant_id: String::new(),
            };
            assert_eq!(is_own(&own, &identity), expected, "{own:?} {identity:?}");
        }
    }
}
