//! Settings that may be written in more than one way: each says itself what it expects, as a derived
//! reader of an untagged enum only says that nothing fitted.

use crate::domain::campaign::{FieldConfig, FullField, RetryConfig};
use crate::domain::settings::{OneOrMany, TimeFormat, TimePath, TimePaths};
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

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl<'de> Deserialize<'de> for TimePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = TimePath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a path, or a table such as { path = \"created\", format = \"%m/%d/%Y %H:%M\" }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TimePath, E> {
                Ok(TimePath::Path(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TimePath, A::Error> {
                TimeFormat::deserialize(MapAccessDeserializer::new(table)).map(TimePath::Format)
            }
        }
        deserializer.deserialize_any(Place)
    }
}

impl<'de> Deserialize<'de> for TimePaths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Places;
        impl<'de> Visitor<'de> for Places {
            type Value = TimePaths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a path, a table such as { path = \"created\", format = \"%m/%d/%Y %H:%M\" }, \
                     or a list of them",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TimePaths, E> {
                Ok(TimePaths::One(TimePath::Path(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TimePaths, A::Error> {
                TimePath::deserialize(MapAccessDeserializer::new(table)).map(TimePaths::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TimePaths, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(TimePaths::Many)
            }
        }
        deserializer.deserialize_any(Places)
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
