//! What can go wrong, each with what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use crate::arm::Answer;

/// An error that ends a probe, or the whole run.
#[derive(Debug, Error)]
pub enum Error {
    /// The command could not be started.
    #[error("the token command cannot be run ({0}); is there a shell (sh)?")]
    TokenShell(std::io::Error),
    /// The shell does not know the program.
    #[error(
        "the token command `{0}` names a program that is not installed: install the Azure CLI (https://aka.ms/azure-cli), or name another command with --token-command"
    )]
    TokenProgramMissing(String),
    /// The command failed.
    #[error(
        "the token command `{command}` ended with {status}: {stderr}; sign in with `az login` and try again (az account list shows the subscriptions that you can use)"
    )]
    TokenCommand {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last line that it wrote to stderr.
        stderr: String,
    },
    /// The command printed something else.
    #[error(
        "the token command `{0}` printed neither a token nor JSON with `accessToken`; try it by hand"
    )]
    NoToken(String),
    /// Resource Manager refuses the token, and a new one as well.
    #[error(
        "Resource Manager refuses the token, and the one that the token command gives next as well: {0}; sign in again with `az login`, and look whether --resource-manager and the token command are of the same cloud"
    )]
    TokenRefused(Box<Answer>),
    /// The file of certificate authorities.
    #[error("--ca-file {path} cannot be used: {why}; it has to hold certificates in PEM")]
    CaFile {
        /// Its path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// No answer.
    #[error(
        "Resource Manager at {endpoint} gives no answer: {why}; look at --resource-manager, at the network and its proxies (HTTPS_PROXY), and where it has a certificate of your own at --ca-file"
    )]
    Unreachable {
        /// Its URL.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// An answer that is no success where one was needed.
    #[error("{doing}: {answer}; {advice}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The answer.
        answer: Box<Answer>,
        /// What to do.
        advice: String,
    },
    /// Something did not come about in time.
    #[error("{what} after {seconds} s; try again later, or with more --patience")]
    Impatient {
        /// What.
        what: String,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// Signals cannot be received.
    #[error("signals cannot be handled: {0}")]
    Signals(std::io::Error),
    /// A signal ended the run.
    #[error("{0} ended it before all was asked; run it again")]
    Interrupted(&'static str),
    /// The resource group could not be removed.
    #[error("resource group {group} is still there ({source}); remove it by hand: {by_hand}")]
    GroupStays {
        /// Its name.
        group: String,
        /// The command.
        by_hand: String,
        /// Why.
        source: Box<Error>,
    },
}
