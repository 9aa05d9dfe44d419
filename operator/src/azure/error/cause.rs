//! Why there is no usable answer, as far as it is known: what to do about it depends on it.

use std::{error::Error, io};

use crate::leader::NoClaim;

/// Why there is no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The certificate is not trusted, not valid now, or for another name.
    Certificate,
    /// Somebody listens there and does not speak TLS, or none that we speak.
    Tls,
    /// The name of the host is not known.
    Name,
    /// Nobody listens there, or there is no way to it.
    NoConnection,
    /// The proxy of the environment does not let the request through.
    Proxy,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// The answer did not come in time.
    AnswerTimeout,
    /// The connection broke.
    Lost,
    /// Something between Azure and us answered: a page, a redirect.
    NotAzure,
    /// Azure's answer is not what was asked for.
    Malformed,
    /// The listing does not end.
    Endless,
    /// Azure says itself that it has a fault.
    Fault,
    /// This process does not lead any more, and nothing was sent.
    NoClaim,
}

impl Cause {
    /// Of a request that was sent, or was to be, from the errors below it.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let chain = Chain(error.source());
        if chain.clone().any(|it| it.is::<NoClaim>()) {
            return Self::NoClaim;
        }
        if chain.clone().any(is_certificate) {
            return Self::Certificate;
        }
        if chain.clone().any(|it| it.is::<rustls::Error>()) {
            return Self::Tls;
        }
        let says = |words: &str| chain.clone().any(|it| it.to_string().contains(words));
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => Self::ConnectTimeout,
            (true, false) => Self::AnswerTimeout,
            // The texts of hyper-util, which keeps the types to itself.
            (false, true) if says("dns error") => Self::Name,
            (false, true) if says("tunnel error") || says("proxy") => Self::Proxy,
            (false, true) => match chain.clone().find_map(io_kind) {
                Some(io::ErrorKind::TimedOut) => Self::ConnectTimeout,
                // The connection was there, and was closed in the handshake.
                _ if has_ended(chain.clone()) => Self::Tls,
                _ => Self::NoConnection,
            },
            (false, false) => Self::Lost,
        }
    }
}

/// An error and those below it.
#[derive(Clone)]
struct Chain<'a>(Option<&'a (dyn Error + 'static)>);

impl<'a> Iterator for Chain<'a> {
    type Item = &'a (dyn Error + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let error = self.0?;
        // An `io::Error` names as its source the source of what it wraps, and not what it wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        self.0 = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
        Some(error)
    }
}

fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<rustls::Error>()
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

fn has_ended(mut chain: Chain<'_>) -> bool {
    chain.any(|error| io_kind(error) == Some(io::ErrorKind::UnexpectedEof))
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    error.downcast_ref::<io::Error>().map(io::Error::kind)
}
