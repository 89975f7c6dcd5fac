//! JSON into values of the policy engine.

use regorus::Value;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// A value read from JSON exactly as it stands there.
///
/// Not the engine's own reader: that takes an object with one certain key for a number, and keeps the last
/// of two equal keys. The policy would then judge other arguments than the tool gets.
struct Exact(Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed.deserialize(deserializer).map(Self)
    }
}

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Exact(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::from(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(Exact(key)) = entries.next_key()? {
            match values.entry(key) {
                Entry::Vacant(place) => place.insert(entries.next_value::<Exact>()?.0),
                Entry::Occupied(place) => {
                    return Err(A::Error::custom(format!("the key {} is there twice", place.key())));
                }
            };
        }
        Ok(Value::from(values))
    }
}

/// Reads JSON bytes.
pub(crate) fn read(json: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Exact>(json).map(|exact| exact.0)
}

/// A tree as a value.
pub(crate) fn value(tree: &serde_json::Value) -> Result<Value, serde_json::Error> {
    Exact::deserialize(tree).map(|exact| exact.0)
}

/// A value as a tree; a set becomes a list.
pub(crate) fn tree(value: &Value) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_sees_is_what_stands_there() {
        let spoof = br#"{"n":{"$serde_json::private::Number":"5"}}"#;
        assert_eq!(read(spoof).unwrap().to_string().as_bytes(), spoof);
        assert!(read(br#"{"a":1,"a":2}"#).unwrap_err().to_string().contains("twice"));
        assert!(read(br#"{"n":1e400}"#).is_err());
        assert!(read(br#"{"s":"\ud800"}"#).is_err());
        assert!(read("[".repeat(200).as_bytes()).is_err());
    }

    #[test]
    fn values_come_back_as_they_were() {
        let json = r#"{"a":[1,-2,2.5,true,null,"é"],"b":{},"c":18446744073709551615}"#;
        let tree_of: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(tree(&read(json.as_bytes()).unwrap()).unwrap(), tree_of);
        assert_eq!(value(&tree_of).unwrap(), read(json.as_bytes()).unwrap());
    }
}
