//! Tokens for tests.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Writes a token of this issuer, signed with the key of this id, issued at this second.
pub(super) fn write_token(file: &Path, issuer: &str, kid: &str, issued_at: i64) {
    let encode = |it: serde_json::Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let head = encode(json!({ "alg": "RS256", "kid": kid }));
    let claims = json!({ "iss": issuer, "iat": issued_at, "exp": issued_at.saturating_add(3600) });
    std::fs::write(file, format!("{head}.{}.s", encode(claims))).unwrap();
}
