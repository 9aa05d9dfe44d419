//! Whether Microsoft Entra, which is on the internet, can read what an issuer publishes.

use std::fmt;

use azwib_crds::Issuer;
use url::{Host, Url};

use super::addresses::{is_private_v4, is_private_v6};

/// Why nobody on the internet reaches an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// A name that every machine gives to itself.
    Localhost,
    /// A name or address of Kubernetes' own, known inside of the cluster.
    OfCluster,
    /// A name below a domain that is never public.
    PrivateName,
    /// A name without a domain.
    SingleLabel,
    /// An address that the internet does not route.
    PrivateAddress,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Localhost => "means the local machine",
            Self::OfCluster => "is known inside of the cluster only",
            Self::PrivateName => "is below a domain that is known in private networks only",
            Self::SingleLabel => "has no domain",
            Self::PrivateAddress => "is an address that cannot be reached from the internet",
        })
    }
}

/// Domains below which Kubernetes has its services.
const OF_CLUSTERS: [&str; 2] = ["svc", "cluster.local"];

/// Domains that are not of the public DNS: RFC 6761, 6762, 7686, 8375 and 9476, ICANN's `internal`, and those that private
/// networks use and ICANN does not delegate for that reason (appendix G of RFC 6762; ICANN resolution 2018.02.04.12).
const PRIVATE_DOMAINS: [&str; 14] = [
    "local",
    "internal",
    "localdomain",
    "lan",
    "home",
    "arpa",
    "corp",
    "mail",
    "intranet",
    "private",
    "test",
    "invalid",
    "alt",
    "onion",
];

/// Why nobody on the internet reaches it; None where that is not known.
pub fn unreachable(issuer: &Issuer) -> Option<Unreachable> {
    unreachable_url(&Url::parse(issuer.as_str()).ok()?)
}

/// Why nobody on the internet reaches the host of a URL; None where that is not known.
pub fn unreachable_url(url: &Url) -> Option<Unreachable> {
    match url.host()? {
        Host::Domain(name) => of_name(name),
        Host::Ipv4(address) => is_private_v4(address).then_some(Unreachable::PrivateAddress),
        Host::Ipv6(address) => is_private_v6(address).then_some(Unreachable::PrivateAddress),
    }
}

/// The parser has made the name lower case.
fn of_name(name: &str) -> Option<Unreachable> {
    // The stop at the end only says that nothing follows.
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_below = |domain: &str| {
        name.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if is_below("localhost") {
        return Some(Unreachable::Localhost);
    }
    // `kubernetes.default` is what pods may call the API server.
    let is_api_server = name
        .strip_prefix("kubernetes.default")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    // A cluster may have a domain of its own: `kubernetes.default.svc.acme.example`.
    if OF_CLUSTERS.into_iter().any(is_below) || is_api_server {
        return Some(Unreachable::OfCluster);
    }
    if PRIVATE_DOMAINS.into_iter().any(is_below) {
        return Some(Unreachable::PrivateName);
    }
    (!name.contains('.')).then_some(Unreachable::SingleLabel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(issuer: &str) -> Option<Unreachable> {
        unreachable(&Issuer::parse(issuer).unwrap_or_else(|error| panic!("{issuer}: {error}")))
    }

    #[test]
    fn what_nobody_on_the_internet_reaches_is_known() {
        use Unreachable::*;
        for (host, expected) in [
            ("localhost", Localhost),
            ("LOCALHOST", Localhost),
            ("localhost.", Localhost),
            ("oidc.localhost", Localhost),
            ("%6cocalhost", Localhost),
            ("kubernetes.default.svc", OfCluster),
            ("kubernetes.default.svc.", OfCluster),
            ("kubernetes.default.svc.cluster.local", OfCluster),
            ("kubernetes.default", OfCluster),
            ("kubernetes.default.svc.acme.example.com", OfCluster),
            ("kubernetes", SingleLabel),
            ("oidc", SingleLabel),
            ("oidc.", SingleLabel),
            ("oidc.shop.local", PrivateName),
            ("OIDC.SHOP.LOCAL", PrivateName),
            ("oidc.shop.internal", PrivateName),
            ("metadata.google.internal", PrivateName),
            ("oidc.home.arpa", PrivateName),
            ("1.0.10.in-addr.arpa", PrivateName),
            ("oidc.corp", PrivateName),
            ("oidc.lan", PrivateName),
            ("oidc.localdomain", PrivateName),
            ("oidc.intranet", PrivateName),
            ("oidc.test", PrivateName),
            ("oidc.invalid", PrivateName),
            ("127.0.0.1", PrivateAddress),
            ("127.1", PrivateAddress),
            ("2130706433", PrivateAddress),
            ("0x7f000001", PrivateAddress),
            ("0.0.0.0", PrivateAddress),
            ("10.1.2.3", PrivateAddress),
            ("172.16.0.1", PrivateAddress),
            ("172.31.255.255", PrivateAddress),
            ("192.168.1.1", PrivateAddress),
            ("169.254.169.254", PrivateAddress),
            ("100.64.0.1", PrivateAddress),
            ("198.18.0.1", PrivateAddress),
            ("192.0.2.1", PrivateAddress),
            ("224.0.0.1", PrivateAddress),
            ("255.255.255.255", PrivateAddress),
            ("[::]", PrivateAddress),
            ("[::1]", PrivateAddress),
            ("[fe80::1]", PrivateAddress),
            ("[febf::1]", PrivateAddress),
            ("[fec0::1]", PrivateAddress),
            ("[fd12:3456:789a::1]", PrivateAddress),
            ("[fc00::1]", PrivateAddress),
            ("[ff02::1]", PrivateAddress),
            ("[2001:db8::1]", PrivateAddress),
            ("[3fff::1]", PrivateAddress),
            ("[::ffff:10.0.0.1]", PrivateAddress),
            ("[::ffff:127.0.0.1]", PrivateAddress),
            ("[::10.0.0.1]", PrivateAddress),
            ("[64:ff9b::a00:1]", PrivateAddress),
            ("[2002:c0a8:101::1]", PrivateAddress),
        ] {
            for rest in ["", "/", ":8443/", "/tenant/cluster/"] {
                let issuer = format!("https://{host}{rest}");
                assert_eq!(of(&issuer), Some(expected), "{issuer}");
            }
        }
    }

    #[test]
    fn what_somebody_may_reach_is_left_alone() {
        for issuer in [
            "https://westeurope.oic.prod-aks.azure.com/3f2a/6b1c/",
            "https://europe.oic.prod-arc.azure.com/3f2a/6b1c/",
            "https://oidc.example/",
            "https://oidc.example.com",
            "https://oidc.local.example.com/",
            "https://internal.example.com/",
            "https://svc.example.com/",
            "https://mylocal.dev/",
            "https://notinternal.com/",
            "https://localhost.example.com/",
            "https://oidc.xn--fiqs8s/",
            "https://20.50.2.1/",
            "https://172.15.0.1/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://[2603:1020::1]/",
            "https://[2001:4860:4860::8888]/",
            "https://[::ffff:20.50.2.1]/",
            "https://[64:ff9b::1432:201]/",
        ] {
            assert_eq!(of(issuer), None, "{issuer}");
        }
    }
}
