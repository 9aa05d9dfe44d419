//! Which addresses are not of the internet: nobody should be led to them by a document, and Microsoft Entra cannot reach them. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the internet does not route it: RFC 1918 and 6598, loopback, link-local, unique local, `0.0.0.0/8`, multicast, what is
/// reserved or for documentation, and IPv6 addresses that stand for such an IPv4 address (mapped, NAT64, 6to4).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

/// Source: IANA, IPv4 Special-Purpose Address Registry; multicast and what is reserved besides.
pub fn is_private_v4(address: Ipv4Addr) -> bool {
    const NETWORKS: [([u8; 4], u32); 15] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    let bits = address.to_bits();
    NETWORKS.into_iter().any(|(network, length)| {
        let network = Ipv4Addr::from(network).to_bits();
        (bits ^ network) >> (32 - length) == 0
    })
}

/// Public addresses are below `2000::/3`; of these the ones that carry a private IPv4 address in them are not, nor those of
/// the registry of special purposes.
pub fn is_private_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let bits = address.to_bits();
    // NAT64 (RFC 6052) and 6to4 (RFC 3056) say which IPv4 address is meant.
    let v4 = |bits: u128| Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    if bits >> 32 == 0x0064_ff9b_u128 << 64 {
        return is_private_v4(v4(bits));
    }
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    if first == 0x2002 {
        return is_private_v4(v4(bits >> 80));
    }
    let is_documentation =
        (first, second) == (0x2001, 0x0db8) || first == 0x3fff && second < 0x1000;
    // 2001::/23: Teredo, benchmarking, ORCHID and the like.
    let is_of_protocol = first == 0x2001 && second < 0x0200;
    let is_public = first >> 13 == 1;
    !is_public || is_documentation || is_of_protocol || (first, second, third) == (0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_internet_does_not_route_is_private_in_each_of_its_forms() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::10.0.0.1",
            "2002:a00:1::1",
        ] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_address_of_the_internet_is_not() {
        for address in [
            "1.1.1.1",
            "20.50.2.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "2603:1020::1",
            "2001:4860:4860::8888",
            "::ffff:20.50.2.1",
            "64:ff9b::20.50.2.1",
            "2002:1432:201::1",
        ] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }
}
