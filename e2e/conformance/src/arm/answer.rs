//! An answer of Resource Manager.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// The wait after a 429 that does not say how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After` as it was sent.
    pub retry_after: Option<String>,
    /// The body; `Null` where it is empty or no JSON.
    pub body: Value,
}

/// An error answer, as the simulator's settings have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorAnswer {
    /// HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: String,
    /// `error.message`.
    pub message: String,
}

impl Answer {
    /// Whether it was a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `error.code`, or nothing.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// `error.message`, or nothing.
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// How long a 429 asks to wait.
    pub fn wait(&self) -> Duration {
        let seconds = self.retry_after.as_ref().and_then(|it| it.parse().ok());
        seconds.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs)
    }

    /// Status and code.
    pub fn brief(&self) -> String {
        format!("{} {}", self.status, self.code()).trim().to_owned()
    }

    /// It as an error.
    pub fn error(&self) -> ErrorAnswer {
        ErrorAnswer {
            status: self.status,
            code: self.code().to_owned(),
            message: self.message().to_owned(),
        }
    }

    /// Whether the caller lacks a right, or the token is none.
    pub fn is_about_rights(&self) -> bool {
        self.status == 401
            || matches!(
                self.code(),
                "AuthorizationFailed"
                    | "LinkedAuthorizationFailed"
                    | "DenyAssignmentAuthorizationFailed"
            )
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.brief())?;
        if !self.message().is_empty() {
            write!(formatter, " \"{}\"", self.message())?;
        }
        Ok(())
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.code)
    }
}
