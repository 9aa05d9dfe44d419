//! Who may scrape `/metrics` over https, and with which certificate it is served, as controller-runtime does both.

mod access;
mod certificate;
mod known;

pub use access::{Access, guarded};
pub use certificate::{Certificate, CertificateError, Source};
