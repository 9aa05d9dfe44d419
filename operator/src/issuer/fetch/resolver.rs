//! Resolves a name once, and gives out the addresses that were checked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::issuer::addresses::is_private;

type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;
type Admits = fn(IpAddr) -> bool;

/// From a name to its addresses, and which of them may be connected to.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) lookup: Lookup,
    pub(super) admits: Admits,
}

impl Resolver {
    /// Addresses that the internet routes.
    pub(super) fn of_public() -> Self {
        Self {
            lookup: Arc::new(|name| by_system(name).boxed()),
            admits: |address| !is_private(address),
        }
    }

    /// All addresses.
    pub(super) fn of_all() -> Self {
        Self {
            admits: |_| true,
            ..Self::of_public()
        }
    }
}

async fn by_system(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// A name has none but addresses of private networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its name {name} has the address {address} here, which the internet does not route: it is not asked (where the name leads elsewhere \
     from outside, such as with a private endpoint, this says nothing about what Microsoft Entra reads)"
)]
pub(super) struct NoPublicAddress {
    name: String,
    address: IpAddr,
}

/// What reqwest resolves names by: it connects to what this gives out, and asks nobody else.
#[derive(Clone)]
pub(super) struct Checked(Resolver);

impl Checked {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self(resolver)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver { lookup, admits } = self.0.clone();
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = lookup(name.clone()).await?;
            // Else nothing is known about the name.
            if let Some(address) = found.first().copied()
                && !found.iter().any(|it| admits(*it))
            {
                return Err(NoPublicAddress { name, address }.into());
            }
            let admitted = found.into_iter().filter(move |it| admits(*it));
            // The port is that of the URL.
            let addresses: Addrs = Box::new(admitted.map(|it| SocketAddr::new(it, 0)));
            Ok(addresses)
        })
    }
}
