//! Sizes, spans and addresses as configuration spells them.

use crate::domain::rate::RateLimit;
use crate::domain::time::parse_span;
use ipnet::IpNet;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A number of bytes: `"1MiB"`, `"500kB"`, `"64 KiB"`, or a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many KiB (1,024 bytes).
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB (1,048,576 bytes).
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a length in memory; a 32-bit machine gets its greatest one.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads a size; units are B, kB/MB/GB (powers of 1,000) and KiB/MiB/GiB (powers of 1,024).
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let scale = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => 0,
        };
        let size = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        size.filter(|_| scale > 0).map(Self).ok_or_else(|| {
            format!("expected a size such as \"1MiB\", \"500kB\" or 65536, found {text:?}")
        })
    }
}

/// So many events in a second, minute or hour: `"500/s"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    text: String,
    /// What it says.
    pub limit: RateLimit,
}

impl Rate {
    /// So many a second, at least 1.
    pub fn a_second(events: u32) -> Self {
        Self { text: format!("{events}/s"), limit: RateLimit { events, per_ms: 1_000 } }
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match RateLimit::parse(&text) {
            Some(limit) => Ok(Self { text, limit }),
            None => Err(format!("expected a rate such as \"500/s\" or \"1000/h\", found {text:?}")),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.text
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"1MiB\" or a number of bytes")
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<ByteSize, E> {
                u64::try_from(n)
                    .map(ByteSize)
                    .map_err(|_| E::custom(format!("expected a size, found {n}")))
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(n))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

/// A length of time in milliseconds, written `"60s"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    /// So many seconds.
    pub const fn seconds(n: i64) -> Self {
        Self(n * 1_000)
    }

    /// For timers.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ms = parse_span(&text).map_err(D::Error::custom)?;
        if ms == 0 {
            return Err(D::Error::custom("expected a span longer than nothing"));
        }
        Ok(Self(ms))
    }
}

/// Reads an address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.trim().parse().map_err(|_| {
        D::Error::custom(format!(
            "expected an IP address and a port such as \"127.0.0.1:7676\", found {text:?}"
        ))
    })
}

/// Reads an address that may be left out.
pub(super) fn maybe_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

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
    fn sizes_have_decimal_and_binary_units() {
        assert_eq!(ByteSize::parse("1MiB"), Ok(ByteSize(1_048_576)));
        assert_eq!(ByteSize::parse(" 500 kB "), Ok(ByteSize(500_000)));
        assert_eq!(ByteSize::parse("17"), Ok(ByteSize(17)));
        assert!(ByteSize::parse("1 stone").is_err());
        assert!(ByteSize::parse("MiB").is_err());
        assert!(ByteSize::parse("99999999999999999999GiB").is_err());
    }

    #[test]
    fn networks_keep_within_their_family() {
        let read = |text: &str| serde_json::from_value::<Network>(text.into());
        assert_eq!(read("10.0.0.0/8").unwrap().0.prefix_len(), 8);
        assert_eq!(read("::1").unwrap().0.prefix_len(), 128);
        assert!(read("10.0.0.0/33").is_err());
        assert!(read("example.org").is_err());
    }
}
