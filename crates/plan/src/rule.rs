//! The rules that a document must keep, by stable names.

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// A rule of plans and of catalogue entries. Names are stable; `docs/reference/plan.md` lists
        /// them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rule {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
            /// A rule of a newer server.
            #[serde(other)]
            Other,
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Other => "other" }
            }

            /// What it demands, in a line.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* Self::Other => "a rule of a newer server" }
            }
        }
    };
}

rules! {
    BadArgument = "bad-argument", "an argument in `with` fits the tool's input schema";
    BadDuration = "bad-duration", "a duration is a number with a unit: `500ms`, `60s`, `5m`, `1h30m`, `2d`";
    BadExpression = "bad-expression", "a `${{ }}` is closed, is CEL, and calls functions that exist";
    BadName = "bad-name", "a name or id has the form that its place asks for";
    BadSchema = "bad-schema", "a schema in a catalogue entry is a JSON Schema";
    Cycle = "cycle", "no step needs itself, directly or through others";
    DuplicateId = "duplicate-id", "two steps do not have the same id";
    DuplicateKey = "duplicate-key", "a map does not have the same key twice";
    DuplicateTool = "duplicate-tool", "a tool stands once in the catalogue, and built-in names are taken";
    Encoding = "encoding", "a document is UTF-8 text";
    InvalidValue = "invalid-value", "a value is one of those allowed";
    Limit = "limit", "a document and its parts keep to the limits";
    MissingArgument = "missing-argument", "every argument that the tool requires is there";
    MissingInput = "missing-input", "every required input is given";
    MissingKey = "missing-key", "every key that is required is there";
    NotSupportedYet = "not-supported-yet", "a key that a later version brings is refused, not ignored";
    Syntax = "syntax", "a document is one YAML or JSON document";
    UndeclaredCapability = "undeclared-capability", "the capability of each tool stands in `permissions`, where the plan has them";
    UnknownArgument = "unknown-argument", "an argument in `with` is one that the tool has";
    UnknownInput = "unknown-input", "an input that is given is one that the plan has";
    UnknownKey = "unknown-key", "a key is one that its place has";
    UnknownReference = "unknown-reference", "expressions and `needs` name inputs and steps that exist";
    UnknownTool = "unknown-tool", "a tool is one of the catalogue's";
    Unreadable = "unreadable", "a file of the catalogue can be read";
    Unused = "unused", "what is declared is used (a warning)";
    WorkspaceMissing = "workspace-missing", "a plan whose tools use the workspace has one";
    WrongType = "wrong-type", "a value has the type that its place asks for";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_those_of_others_are_let_through() {
        for rule in Rule::ALL {
            let text = serde_json::to_string(rule).unwrap();
            assert_eq!(text, format!("\"{rule}\""));
            assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), *rule);
        }
        assert_eq!(serde_json::from_str::<Rule>("\"of-tomorrow\"").unwrap(), Rule::Other);
    }
}
