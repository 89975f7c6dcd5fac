//! An entry of a run's history.

use crate::Json;
use aidt_domain::{Attempt, CommandId, DispatchNo, ErrorCode, Failure, Generation, Seq, StepPath};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// An entry of a run's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its number in the run, from 1.
    pub seq: Seq,
    /// `step_finished` and so on.
    pub kind: String,
    /// When, RFC 3339.
    pub at: String,
    /// The step that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// The step's dispatch at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<DispatchNo>,
    /// The step's attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The step's generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The command that it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CommandId>,
    /// The kind's own fields, its payload among them.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Json>,
}

/// By hand: a derived `flatten` would make values of the fields, and refuse a payload that cannot be one.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut fields: BTreeMap<String, Json> = BTreeMap::deserialize(d)?;
        let missing = |name| move || D::Error::missing_field(name);
        Ok(Self {
            seq: take(&mut fields, "seq").map_err(D::Error::custom)?.ok_or_else(missing("seq"))?,
            kind: take(&mut fields, "kind").map_err(D::Error::custom)?.ok_or_else(missing("kind"))?,
            at: take(&mut fields, "at").map_err(D::Error::custom)?.ok_or_else(missing("at"))?,
            step: take(&mut fields, "step").map_err(D::Error::custom)?,
            dispatch: take(&mut fields, "dispatch").map_err(D::Error::custom)?,
            attempt: take(&mut fields, "attempt").map_err(D::Error::custom)?,
            generation: take(&mut fields, "generation").map_err(D::Error::custom)?,
            cause: take(&mut fields, "cause").map_err(D::Error::custom)?,
            fields,
        })
    }
}

fn take<T: DeserializeOwned>(fields: &mut BTreeMap<String, Json>, name: &str) -> Result<Option<T>, String> {
    let Some(json) = fields.remove(name) else { return Ok(None) };
    serde_json::from_str(json.text()).map_err(|e| format!("field {name}: {e}"))
}

impl Event {
    /// One of the kind's own fields, if it is what it is read as.
    #[must_use]
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.fields.get(name)?.read()
    }

    /// One of the kind's own fields, as text; empty when there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.field(name).unwrap_or_default()
    }

    /// The failure that it tells of.
    #[must_use]
    pub fn error(&self) -> Option<Failure> {
        self.field("error")
    }

    /// Whether the run ended with it. A person may reopen the run later.
    #[must_use]
    pub fn ends_run(&self) -> bool {
        matches!(self.kind.as_str(), "run_done" | "run_failed" | "run_cancelled")
    }

    /// The code of a `command_refused`.
    #[must_use]
    pub fn refusal(&self) -> Option<ErrorCode> {
        (self.kind == "command_refused").then(|| self.text("code").parse().unwrap_or(ErrorCode::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_field_and_writes_it_again() {
        let text = r#"{"seq":3,"kind":"step_finished","at":"2026-11-21T13:18:06.001Z","step":"log","dispatch":1,"attempt":1,"generation":1,"output":{"a":[1,2]},"worker":"w"}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!((event.seq, event.text("worker").as_str()), (Seq(3), "w"));
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn hostile_payloads_pass_through() {
        for payload in ["1e400", r#""\ud800""#, r#""\u0000""#] {
            let text = format!(r#"{{"seq":1,"kind":"k","at":"t","output":{payload}}}"#);
            let event: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(event.fields["output"].text(), payload);
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }

    #[test]
    fn says_which_field_is_missing_or_wrong() {
        let error = |text| serde_json::from_str::<Event>(text).unwrap_err().to_string();
        assert!(error(r#"{"kind":"k","at":"t"}"#).contains("seq"));
        assert!(error(r#"{"seq":1,"kind":"k","at":"t","step":"1x"}"#).contains("step"));
    }
}
