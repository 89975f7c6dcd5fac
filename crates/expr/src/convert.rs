//! Values of JSON as values of CEL, and back.

use crate::error::{ExprErrorKind, Trouble};
use crate::limits::{ELEMENTS, VALUE_BYTES, WHOLE_NUMBER};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// Units of work that bytes of text stand for.
const BYTES_PER_UNIT: u64 = 64;

/// A value for CEL that borrows its texts.
pub(crate) fn to_cel(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(b) => Box::new(CelBool::from(*b)),
        Value::Number(n) => number_to_cel(n),
        Value::String(s) => Box::new(CelString::from(s.as_str())),
        Value::Array(list) => Box::new(CelList::from(list.iter().map(to_cel).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entries = map.iter().map(|(k, v)| (CelMapKey::from(k.as_str()), to_cel(v)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

fn number_to_cel(n: &Number) -> Box<dyn Val> {
    if let Some(i) = n.as_i64() {
        Box::new(CelInt::from(i))
    } else if let Some(u) = n.as_u64() {
        Box::new(CelUInt::from(u))
    } else {
        Box::new(CelDouble::from(n.as_f64().unwrap_or(f64::NAN)))
    }
}

/// Elements of a value, itself included, and bytes of its texts.
pub(crate) fn measure(value: &Value) -> (u64, u64) {
    match value {
        Value::String(s) => (1, s.len() as u64),
        Value::Array(list) => list.iter().map(measure).fold((1, 0), sum),
        Value::Object(map) => map.iter().fold((1, 0), |all, (k, v)| {
            let (elements, bytes) = sum(all, measure(v));
            (elements, bytes + k.len() as u64)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
    }
}

fn sum(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}

/// What walking a value of this measure costs, in units of the meter.
pub(crate) fn units((elements, bytes): (u64, u64)) -> u64 {
    elements + bytes / BYTES_PER_UNIT
}

/// The JSON of what CEL yielded, within the limits.
pub(crate) fn from_cel(value: &dyn Val) -> Result<Value, Trouble> {
    let mut room = Room { elements: ELEMENTS, bytes: VALUE_BYTES };
    json(value, &mut room)
}

/// What may still be made.
struct Room {
    elements: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Trouble> {
        match (self.elements.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(elements), Some(bytes)) => *self = Self { elements, bytes },
            _ => {
                let message = format!("the value has more than {ELEMENTS} elements or {VALUE_BYTES} bytes");
                return Err(Trouble::new(ExprErrorKind::Limit, message));
            }
        }
        Ok(())
    }
}

fn json(value: &dyn Val, room: &mut Room) -> Result<Value, Trouble> {
    let text = value.downcast_ref::<CelString>().map(CelString::inner);
    room.take(text.map_or(0, str::len))?;
    if let Some(text) = text {
        return Ok(text.into());
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().map(|element| json(element.as_ref(), room)).collect();
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries = map.inner().iter().map(|(key, value)| {
            let CelMapKey::String(key) = key else {
                return Err(evaluation("the keys of a map must be strings: use string(…)"));
            };
            room.take(key.inner().len())?;
            Ok((key.inner().to_owned(), json(value.as_ref(), room)?))
        });
        // In no order, but a JSON map is sorted again wherever its bytes matter.
        let mut sorted = entries.by_ref().collect::<Result<Vec<_>, _>>()?;
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        return Ok(Value::Object(sorted.into_iter().collect::<Map<_, _>>()));
    }
    scalar(value)
}

fn scalar(value: &dyn Val) -> Result<Value, Trouble> {
    if let Some(b) = value.downcast_ref::<CelBool>() {
        Ok((*b.inner()).into())
    } else if let Some(i) = value.downcast_ref::<CelInt>() {
        Ok((*i.inner()).into())
    } else if let Some(u) = value.downcast_ref::<CelUInt>() {
        Ok((*u.inner()).into())
    } else if let Some(d) = value.downcast_ref::<CelDouble>() {
        let number = Number::from_f64(*d.inner());
        number.map(Value::Number).ok_or_else(|| evaluation("the result is not a finite number"))
    } else if value.downcast_ref::<CelNull>().is_some() {
        Ok(Value::Null)
    } else {
        let kind = value.get_type().name().to_owned();
        Err(evaluation(format!("the result is a {kind}, which JSON has no form for: use string(…)")))
    }
}

fn evaluation(message: impl Into<String>) -> Trouble {
    Trouble::new(ExprErrorKind::Evaluation, message)
}

/// Refuses whole numbers that RFC 8785, in which values are stored and sent, would round.
pub(crate) fn check_whole_numbers(value: &Value) -> Result<(), Trouble> {
    match value {
        Value::Number(n) => {
            let magnitude = n.as_i64().map(i64::unsigned_abs).or(n.as_u64());
            if magnitude.is_some_and(|m| m > WHOLE_NUMBER) {
                let message = format!("the whole number {n} is beyond 2^53 - 1 and would be rounded: use string(…)");
                return Err(Trouble::new(ExprErrorKind::Limit, message));
            }
            Ok(())
        }
        Value::Array(list) => list.iter().try_for_each(check_whole_numbers),
        Value::Object(map) => map.values().try_for_each(check_whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// Appends a value as it reads within a text: texts as they are, the rest as JSON with sorted keys.
pub(crate) fn append(text: &mut String, value: &Value) {
    match value {
        Value::String(s) => text.push_str(s),
        other => append_json(text, other),
    }
}

fn append_json(text: &mut String, value: &Value) {
    match value {
        Value::Array(list) => {
            text.push('[');
            for (i, element) in list.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                append_json(text, element);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                append_scalar(text, key);
                text.push(':');
                append_json(text, value);
            }
            text.push('}');
        }
        scalar => append_scalar(text, scalar),
    }
}

fn append_scalar<T: serde::Serialize + ?Sized>(text: &mut String, value: &T) {
    text.push_str(&serde_json::to_string(value).expect("a JSON scalar has a JSON form"));
}
