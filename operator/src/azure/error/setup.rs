//! What keeps the client from being built at all.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A configuration with which no call to Azure can be made. Each message names what to change.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file that is named in the configuration cannot be read.
    #[error("cannot read the {what} {path:?}")]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is there, but is not what it should be.
    #[error("the {what} {path:?} {problem}")]
    Unusable {
        /// What the file is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The way to sign in cannot work as configured.
    #[error("cannot sign in to azure: {0}")]
    SignIn(String),
    /// The HTTP client or Azure's own client cannot be built.
    #[error("cannot build the client for azure: {0}")]
    Client(String),
}
