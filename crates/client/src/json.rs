//! JSON as it came.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON as it came: a tool may give what no [`Value`] can hold (`1e400`, a lone surrogate), and it is
/// shown and handed on all the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// As a value, if it can be one.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        self.read()
    }

    /// As whatever it is meant to be, if it is that.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.text()).ok()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("a value has string keys"))
    }
}
