//! A request to Entra that was read.

use super::error::EntraResult;
use super::token_request::TokenRequest;

/// A request to Entra that was read.
#[derive(Debug, Clone)]
pub(crate) enum Admitted {
    /// A document, which needs no decision.
    Document,
    /// A token request.
    Token(Box<TokenRequest>),
}

pub(crate) type AdmittedResult = EntraResult<Admitted>;
