//! What a policy answers, read strictly.

use crate::json;
use aidt_domain::{Verdict, canonical_json};
use regorus::Value;
use serde_json::Map;

/// A decision larger than this is an error of the policy: it is kept in an event and travels in each grant.
const MAX_BYTES: usize = 16 * 1024;

/// Deeper obligations are an error of the policy: what is stored must read back.
const MAX_DEPTH: usize = 32;

/// A policy's answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) obligations: Map<String, serde_json::Value>,
    /// What a transform makes of the arguments, RFC 8785.
    pub(crate) arguments: Option<Vec<u8>>,
}

/// Why an answer cannot be taken: the reason of the deny that it becomes.
pub(crate) type Misread = String;

/// Names of the fields of an answer, made once.
pub(crate) struct Reader {
    verdict: Value,
    reasons: Value,
    warnings: Value,
    obligations: Value,
    arguments: Value,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            verdict: "verdict".into(),
            reasons: "reasons".into(),
            warnings: "warnings".into(),
            obligations: "obligations".into(),
            arguments: "arguments".into(),
        }
    }

    /// Reads an answer. Undefined is not an answer, and what is not known is never taken for an allow.
    pub(crate) fn read(&self, answer: &Value) -> Result<Answer, Misread> {
        let Value::Object(answer) = answer else {
            return Err(match answer {
                Value::Undefined => "the policy gave no decision".to_owned(),
                _ => "the policy's decision is not an object".to_owned(),
            });
        };
        let verdict = match answer.get(&self.verdict) {
            Some(Value::String(word)) => verdict(word)?,
            _ => return Err("the policy's decision has no verdict".to_owned()),
        };
        let read = Answer {
            verdict,
            reasons: texts("reasons", answer.get(&self.reasons))?,
            warnings: texts("warnings", answer.get(&self.warnings))?,
            obligations: obligations(answer.get(&self.obligations))?,
            arguments: match verdict {
                Verdict::Transform => Some(arguments(answer.get(&self.arguments))?),
                _ => None,
            },
        };
        if read.size() > MAX_BYTES {
            return Err(format!("the policy's decision is larger than {MAX_BYTES} bytes"));
        }
        Ok(read)
    }
}

impl Answer {
    fn size(&self) -> usize {
        let texts: usize = self.reasons.iter().chain(&self.warnings).map(|text| text.len() + 4).sum();
        let obligations = if self.obligations.is_empty() { 0 } else { canonical_json(&self.obligations).len() };
        texts + obligations
    }

    /// What was said of the arguments before a transform, and what is said of them after it, as one.
    pub(crate) fn after(self, first: Self) -> Self {
        let both = |mut first: Vec<String>, second: Vec<String>| {
            second.into_iter().for_each(|text| {
                if !first.contains(&text) {
                    first.push(text);
                }
            });
            first
        };
        let mut obligations = first.obligations;
        obligations.extend(self.obligations);
        Self {
            verdict: if self.verdict == Verdict::Allow { Verdict::Transform } else { self.verdict },
            reasons: both(first.reasons, self.reasons),
            warnings: both(first.warnings, self.warnings),
            obligations,
            arguments: if self.verdict == Verdict::Deny { None } else { first.arguments },
        }
    }
}

fn verdict(word: &str) -> Result<Verdict, Misread> {
    match word {
        "allow" => Ok(Verdict::Allow),
        "deny" => Ok(Verdict::Deny),
        "escalate" => Ok(Verdict::Escalate),
        "transform" => Ok(Verdict::Transform),
        _ => Err("the policy's verdict is none of allow, deny, escalate, transform".to_owned()),
    }
}

/// A list or a set of texts.
fn texts(field: &str, value: Option<&Value>) -> Result<Vec<String>, Misread> {
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.to_string()),
        _ => Err(format!("the policy's {field} are not all texts")),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        Some(Value::Set(items)) => items.iter().map(text).collect(),
        Some(_) => Err(format!("the policy's {field} are not a list")),
    }
}

fn obligations(value: Option<&Value>) -> Result<Map<String, serde_json::Value>, Misread> {
    let Some(value) = value else { return Ok(Map::new()) };
    if deeper_than(value, MAX_DEPTH) {
        return Err(format!("the policy's obligations are nested deeper than {MAX_DEPTH}"));
    }
    match value {
        Value::Object(fields) if fields.is_empty() => Ok(Map::new()),
        Value::Object(_) => match json::tree(value) {
            Ok(serde_json::Value::Object(map)) => Ok(map),
            _ => Err("the policy's obligations cannot be written as JSON".to_owned()),
        },
        _ => Err("the policy's obligations are not an object".to_owned()),
    }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, left)),
        Value::Set(items) => items.iter().any(|item| deeper_than(item, left)),
        Value::Object(fields) => fields.iter().any(|(_, item)| deeper_than(item, left)),
        _ => false,
    }
}

fn arguments(value: Option<&Value>) -> Result<Vec<u8>, Misread> {
    match value {
        Some(value @ Value::Object(_)) => json::tree(value)
            .map(|tree| canonical_json(&tree))
            .map_err(|_| "the policy's arguments cannot be written as JSON".to_owned()),
        _ => Err("the policy transforms, but gives no arguments".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Answer, Misread> {
        Reader::new().read(&json::read(answer.as_bytes()).unwrap())
    }

    #[test]
    fn reads_what_a_policy_says() {
        let answer = read(
            r#"{"verdict":"transform","reasons":["a"],"warnings":["b"],"obligations":{"x":[1]},"arguments":{"z":1,"a":2}}"#,
        )
        .unwrap();
        assert_eq!(answer.verdict, Verdict::Transform);
        assert_eq!((answer.reasons, answer.warnings), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(serde_json::to_string(&answer.obligations).unwrap(), r#"{"x":[1]}"#);
        assert_eq!(answer.arguments.unwrap(), br#"{"a":2,"z":1}"#);
    }

    #[test]
    fn what_is_not_known_is_not_taken() {
        for bad in [
            "true",
            "{}",
            r#"{"verdict":true}"#,
            r#"{"verdict":"Allow"}"#,
            r#"{"verdict":"allow","reasons":"yes"}"#,
            r#"{"verdict":"allow","reasons":[1]}"#,
            r#"{"verdict":"allow","obligations":[]}"#,
            r#"{"verdict":"transform"}"#,
            r#"{"verdict":"transform","arguments":[]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Reader::new().read(&Value::Undefined).is_err());
        let deep = format!(r#"{{"verdict":"allow","obligations":{{"x":{}{}}}}}"#, "[".repeat(40), "]".repeat(40));
        assert!(read(&deep).is_err());
        let large = format!(r#"{{"verdict":"allow","warnings":["{}"]}}"#, "x".repeat(20_000));
        assert!(read(&large).is_err());
    }
}
