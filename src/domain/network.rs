//! A range of addresses, as settings write it.

use core::net::IpAddr;
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A network in CIDR notation (RFC 4632), such as `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (address, prefix) = match text.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (text.as_str(), None),
            };
            let address: IpAddr = address.trim().parse().ok()?;
            match prefix {
                Some(prefix) => IpNet::new(address, prefix.trim().parse().ok()?).ok(),
                None => Some(address.into()),
            }
        };
        read().map(Self).ok_or_else(|| {
            D::Error::custom(format!("expected a network such as \"10.0.0.0/8\", found {text:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_keep_within_their_family() {
        let read = |text: &str| serde_json::from_value::<Network>(text.into());
        assert_eq!(read("10.0.0.0/8").unwrap().0.prefix_len(), 8);
        assert_eq!(read("::1").unwrap().0.prefix_len(), 128);
        assert!(read("10.0.0.0/33").is_err());
        assert!(read("example.org").is_err());
    }
}
