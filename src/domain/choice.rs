//! Settings that may be written in more than one way: each says itself what it expects, as a derived
//! reader of an untagged enum only says that nothing fitted.

use super::campaign::{FieldConfig, FullField, RetryConfig};
use super::settings::OneOrMany;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl<'de> Deserialize<'de> for FieldConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Field;
        impl<'de> Visitor<'de> for Field {
            type Value = FieldConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "where the field comes from, such as \"traits.email\", or a table such as \
                     { from = \"traits.gender\", default = \"unknown\" }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FieldConfig, E> {
                Ok(FieldConfig::From(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<FieldConfig, E> {
                Ok(FieldConfig::From(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<FieldConfig, A::Error> {
                FullField::deserialize(MapAccessDeserializer::new(table)).map(FieldConfig::Full)
            }
        }
        deserializer.deserialize_any(Field)
    }
}

impl<'de> Deserialize<'de> for RetryConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Retry;
        impl<'de> Visitor<'de> for Retry {
            type Value = RetryConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "how many attempts follow the first one, such as 3, or how long to wait \
                     before each, such as [\"5s\", \"5m\"]",
                )
            }

            fn visit_u64<E: Error>(self, times: u64) -> Result<RetryConfig, E> {
                Ok(RetryConfig::Times(times))
            }

            fn visit_i64<E: Error>(self, times: i64) -> Result<RetryConfig, E> {
                let found = serde::de::Unexpected::Signed(times);
                let times = u64::try_from(times);
                times.map(RetryConfig::Times).map_err(|_| E::invalid_value(found, &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RetryConfig, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RetryConfig::After)
            }
        }
        deserializer.deserialize_any(Retry)
    }
}
