//! The access token: from a command, and what it says about itself.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::error::Error;

/// The exit code of a shell that does not find a program.
const PROGRAM_NOT_FOUND: i32 = 127;

/// An access token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    received: Timestamp,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// What a token says; the client of an API need not be able to read it, so nothing of it is required.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Claims {
    /// Audience.
    pub aud: Option<String>,
    /// Issued at, in seconds since 1970.
    pub iat: Option<i64>,
    /// Expires at, in seconds since 1970.
    pub exp: Option<i64>,
    /// `app` for service principals and managed identities, `user` for people.
    pub idtyp: Option<String>,
    /// The resource id of a managed identity.
    pub xms_mirid: Option<String>,
}

impl Token {
    /// A token that was received at a moment.
    pub fn new(text: &str, received: Timestamp) -> Self {
        Self {
            text: text.to_owned(),
            received,
        }
    }

    /// It, to be sent.
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// When it was received.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// What it says. Nothing is verified: Resource Manager does that.
    pub fn claims(&self) -> Claims {
        let payload = self.text.split('.').nth(1).unwrap_or_default();
        URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }
}

/// Runs the command and reads the token from what it prints.
///
/// # Errors
/// The command fails, or prints no token.
pub async fn acquire(command: &str) -> Result<Token, Error> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::TokenShell)?;
    if output.status.code() == Some(PROGRAM_NOT_FOUND) {
        return Err(Error::TokenProgramMissing(command.to_owned()));
    }
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
        return Err(Error::TokenCommand {
            command: command.to_owned(),
            status: output.status,
            stderr: last.unwrap_or("it says nothing").trim().to_owned(),
        });
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    read(&printed)
        .map(|text| Token::new(&text, Timestamp::now()))
        .ok_or_else(|| Error::NoToken(command.to_owned()))
}

fn read(printed: &str) -> Option<String> {
    let printed = printed.trim();
    if let Ok(Value::Object(json)) = serde_json::from_str(printed) {
        return json.get("accessToken")?.as_str().map(str::to_owned);
    }
    let is_token = !printed.is_empty()
        && printed
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c));
    is_token.then(|| printed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_json_and_from_bare_text() {
        for (printed, expected) in [
            (
                r#"{"accessToken": "a.b.c", "expires_on": 1}"#,
                Some("a.b.c"),
            ),
            ("a.b.c\n", Some("a.b.c")),
            ("", None),
            ("Please sign in", None),
            (r#"{"token": "a.b.c"}"#, None),
        ] {
            assert_eq!(read(printed).as_deref(), expected, "{printed}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_read_says_nothing() {
        let token = Token::new("opaque", Timestamp::UNIX_EPOCH);
        assert!(token.claims().aud.is_none());
        assert_eq!(format!("{token:?}"), "Token(hidden)");
    }
}
