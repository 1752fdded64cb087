//! No way in: which addresses an outgoing call may dial (SSRF, server-side request forgery).
//!
//! Judged is the address about to be dialled, after DNS and with every odd spelling undone, so a
//! name that resolves to something else the second time gains nothing. Refused is what is not the
//! public internet, as the registries of special-purpose addresses list it (IANA, RFC 6890 and
//! successors), unless `server.allow_networks` lists it.

pub use crate::domain::network::Network;
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::Host;

/// An address that may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is {what}; list its network in server.allow_networks to allow it")]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// What it belongs to.
    pub what: &'static str,
}

/// The judge of addresses.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Network>,
}

type V4Range = (Ipv4Net, &'static str);
type V6Range = (Ipv6Net, &'static str);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8, what: &'static str) -> V4Range {
    (Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), what)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8, what: &'static str) -> V6Range {
    (Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix), what)
}

const V4: [V4Range; 18] = [
    v4([0, 0, 0, 0], 8, "of this network"),
    v4([10, 0, 0, 0], 8, "private"),
    v4([100, 64, 0, 0], 10, "shared by a carrier (CGNAT)"),
    v4([127, 0, 0, 0], 8, "loopback"),
    v4([168, 63, 129, 16], 32, "the host of a cloud machine (Azure)"),
    v4([169, 254, 0, 0], 16, "link-local, where clouds keep metadata"),
    v4([172, 16, 0, 0], 12, "private"),
    v4([192, 0, 0, 0], 24, "reserved for protocols"),
    v4([192, 0, 2, 0], 24, "for documentation"),
    v4([192, 31, 196, 0], 24, "reserved (AS112)"),
    v4([192, 52, 193, 0], 24, "reserved (AMT)"),
    v4([192, 88, 99, 0], 24, "a 6to4 relay"),
    v4([192, 168, 0, 0], 16, "private"),
    v4([192, 175, 48, 0], 24, "reserved (AS112)"),
    v4([198, 18, 0, 0], 15, "for benchmarks"),
    v4([198, 51, 100, 0], 24, "for documentation"),
    v4([203, 0, 113, 0], 24, "for documentation"),
    v4([224, 0, 0, 0], 3, "multicast or reserved"),
];

/// All else outside of 2000::/3 is refused as well.
const V6: [V6Range; 12] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 63, "for discarding"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved for protocols"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "for documentation"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "reserved (AS112)"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "for documentation"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "for segment routing"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private (unique local)"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

impl Guard {
    /// A judge that also lets through what is in these networks.
    pub fn new(allowed: &[Network]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Whether an address may be dialled.
    ///
    /// # Errors
    /// What the address belongs to, when it may not.
    pub fn judge(&self, address: IpAddr) -> Result<(), Refused> {
        match address {
            IpAddr::V4(v4) => self.judge_v4(v4),
            IpAddr::V6(v6) => self.judge_v6(v6),
        }
    }

    fn judge_v4(&self, address: Ipv4Addr) -> Result<(), Refused> {
        match V4.iter().find(|(network, _)| network.contains(&address)) {
            Some((_, what)) if !self.allows(address.into()) => {
                Err(Refused { address: address.into(), what })
            }
            _ => Ok(()),
        }
    }

    fn judge_v6(&self, address: Ipv6Addr) -> Result<(), Refused> {
        let refused = |what| Err(Refused { address: address.into(), what });
        if let Some((v4, what)) = embedded(address) {
            // A mapped address is dialled as the IPv4 address that it stands for. A translator is
            // only used where its network is listed, and even then not to reach what is refused.
            let is_mapped = address.to_ipv4_mapped().is_some();
            let is_listed = self.allows(address.into()) || (is_mapped && self.allows(v4.into()));
            return if is_listed { self.judge_v4(v4) } else { refused(what) };
        }
        if let [_, _, _, _, 0 | 0x200, 0x5efe, high, low] = address.segments() {
            self.judge_v4(v4_of(high, low))?; // ISATAP (RFC 5214), under any prefix
        }
        if self.allows(address.into()) {
            return Ok(());
        }
        match V6.iter().find(|(network, _)| network.contains(&address)) {
            Some((_, what)) => refused(what),
            None if address.segments()[0] & 0xe000 != 0x2000 => refused("reserved"),
            None => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.0.contains(&address))
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

/// The IPv4 address inside of a mapped or translated one.
fn embedded(address: Ipv6Addr) -> Option<(Ipv4Addr, &'static str)> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some((v4_of(high, low), "IPv4-mapped")),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some((v4_of(high, low), "IPv4-translated (SIIT)")),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None, // unspecified and loopback
        [0, 0, 0, 0, 0, 0, high, low] => Some((v4_of(high, low), "IPv4-compatible")),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((v4_of(high, low), "translated (NAT64)")),
        [0x64, 0xff9b, 1, .., high, low] => Some((v4_of(high, low), "translated (NAT64)")),
        [0x2002, high, low, ..] => Some((v4_of(high, low), "translated (6to4)")),
        // The client's address is stored inverted (RFC 4380, section 4).
        [0x2001, 0, .., high, low] => Some((v4_of(!high, !low), "translated (Teredo)")),
        _ => None,
    }
}

/// The address that a URL's host spells, however oddly: `127.1`, `0x7f000001`, `017700000001`,
/// `2130706433`, `[::ffff:127.0.0.1]`, with a dot at the end, or one of the names that always mean
/// this machine (RFC 6761, section 6.3). `None` for a name that DNS has to answer.
pub fn literal(host: &str) -> Option<IpAddr> {
    match Host::parse(host.trim()).ok()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let is_local = name == "localhost" || name.ends_with(".localhost");
            is_local.then_some(Ipv4Addr::LOCALHOST.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        serde_json::from_value(text.into()).unwrap()
    }

    fn what(guard: &Guard, address: &str) -> Option<&'static str> {
        guard.judge(address.parse().unwrap()).err().map(|refused| refused.what)
    }

    #[test]
    fn every_range_is_refused_from_its_first_to_its_last_address() {
        let guard = Guard::default();
        for (network, expected) in V4 {
            for address in [network.network(), network.broadcast()] {
                assert_eq!(guard.judge(address.into()).unwrap_err().what, expected, "{address}");
            }
        }
        for (network, _) in V6 {
            for address in [network.network(), network.broadcast()] {
                assert!(guard.judge(address.into()).is_err(), "{address}");
            }
        }
    }

    #[test]
    fn known_addresses_are_refused_under_their_names() {
        let guard = Guard::default();
        let cases = [
            ("0.0.0.0", "of this network"),
            ("10.1.2.3", "private"),
            ("100.100.100.200", "shared by a carrier (CGNAT)"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "the host of a cloud machine (Azure)"),
            ("169.254.169.254", "link-local, where clouds keep metadata"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "reserved for protocols"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.0.1", "private"),
            ("198.19.255.255", "for benchmarks"),
            ("203.0.113.9", "for documentation"),
            ("224.0.0.1", "multicast or reserved"),
            ("240.0.0.1", "multicast or reserved"),
            ("255.255.255.255", "multicast or reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("::ffff:0:10.0.0.1", "IPv4-translated (SIIT)"),
            ("64:ff9b::10.0.0.1", "translated (NAT64)"),
            ("64:ff9b:1::1", "translated (NAT64)"),
            ("100::1", "for discarding"),
            ("100:0:0:1::1", "for discarding"),
            ("2001::1", "translated (Teredo)"),
            ("2001:2::1", "reserved for protocols"),
            ("2001:20::1", "reserved for protocols"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "translated (6to4)"),
            ("2a00:1450::5efe:10.0.0.1", "private"),
            ("3fff:1::1", "for documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "for segment routing"),
            ("fd00:ec2::254", "private (unique local)"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];
        for (address, expected) in cases {
            assert_eq!(what(&guard, address), Some(expected), "{address}");
        }
    }

    #[test]
    fn the_public_internet_is_allowed() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "2001:200::1",
        ] {
            assert_eq!(what(&Guard::default(), address), None, "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_a_translator_reaches_nothing_else() {
        let guard = Guard::new(&["127.0.0.0/8", "64:ff9b::/96", "fd00::/8"].map(network));
        for address in
            ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::1.1.1.1", "64:ff9b::127.0.0.1", "fd12::1"]
        {
            assert_eq!(what(&guard, address), None, "{address}");
        }
        assert_eq!(what(&guard, "64:ff9b::10.0.0.1"), Some("private"));
        assert_eq!(what(&guard, "::ffff:10.0.0.1"), Some("IPv4-mapped"));
        assert_eq!(what(&guard, "fc00::1"), Some("private (unique local)"));
        let everything = Guard::new(&["0.0.0.0/0", "::/0"].map(network));
        assert_eq!(what(&everything, "::1"), None);
        assert_eq!(what(&everything, "10.0.0.1"), None);
    }

    #[test]
    fn odd_spellings_are_the_addresses_that_they_mean() {
        let loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "１２７.0.0.1",
            "127%2e0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
        ] {
            assert_eq!(literal(host), loopback, "{host}");
        }
        for (host, address) in [("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"), ("[0:0:0::1]", "::1")] {
            assert_eq!(literal(host), Some(address.parse().unwrap()), "{host}");
        }
        for host in ["example.org", "localhost.example.org", "127.0.0.1.example.org"] {
            assert_eq!(literal(host), None, "{host}");
        }
    }
}
