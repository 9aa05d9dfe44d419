//! What a token request says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::assertion::Assertion;
use crate::core::http::Request;
use crate::core::state::Client;

/// How the client proves who it is.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    Secret(String),
    Assertion(Box<Assertion>),
}

/// A token request that is complete and whose client exists.
#[derive(Debug, Clone)]
pub(crate) struct TokenRequest {
    pub(super) client: Client,
    /// The scope without `/.default`: the audience of the token.
    pub(super) resource: String,
    pub(super) proof: Proof,
}

impl TokenRequest {
    /// The client that asks.
    pub(crate) fn client_id(&self) -> Uuid {
        self.client.client_id
    }

    /// The assertion, if it is the proof.
    pub(super) fn assertion(&self) -> Option<&Assertion> {
        match &self.proof {
            Proof::Secret(_) => None,
            Proof::Assertion(assertion) => Some(assertion),
        }
    }
}

/// The fields of the form that the endpoint reads.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) grant_type: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) client_assertion: Option<String>,
    pub(super) client_assertion_type: Option<String>,
}

impl Form {
    pub(super) fn read(request: &Request) -> Self {
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(&request.body) {
            let field = match name.as_ref() {
                "grant_type" => &mut form.grant_type,
                "client_id" => &mut form.client_id,
                "scope" => &mut form.scope,
                "client_secret" => &mut form.client_secret,
                "client_assertion" => &mut form.client_assertion,
                "client_assertion_type" => &mut form.client_assertion_type,
                _ => continue,
            };
            if !value.is_empty() {
                *field = Some(value.into_owned());
            }
        }
        if let Some((client_id, secret)) = basic_credentials(request) {
            form.client_id.get_or_insert(client_id);
            form.client_secret.get_or_insert(secret);
        }
        form
    }
}

/// `client_secret_basic`: id and secret, each form-encoded, in the Authorization header.
fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let (scheme, value) = request.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("v={text}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}
