//! What keeps the client from being built at all.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A configuration with which no call to Azure can be made. Each message names the flag to change.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file that is named in the configuration cannot be read.
    #[error("--{flag}: cannot read {path:?}")]
    Unreadable {
        /// The flag that names the file, without its dashes.
        flag: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is there, but is not what it should be.
    #[error("--{flag}: {path:?} {problem}")]
    Unusable {
        /// The flag that names the file, without its dashes.
        flag: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The way to sign in cannot work as configured.
    #[error("--auth, --azure-tenant-id and --azure-client-id give no way to sign in: {0}")]
    SignIn(String),
    /// The HTTP client or Azure's own client cannot be built.
    #[error("cannot build the client for azure: {0}")]
    Client(String),
}
