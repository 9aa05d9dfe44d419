//! What is served at the port of the metrics by https: with which certificate and to whom, as controller-runtime does both, and what is
//! served there besides the metrics.

mod access;
mod certificate;
mod known;
mod log_level;
mod right;

pub use access::{Access, guarded};
pub use certificate::{Certificate, CertificateError, Source};
pub use log_level::{missing as no_log_level, router as log_level};
