//! Why a bundle is refused.

use std::fmt;
use std::io;

/// Where in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The module.
    pub module: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The rule that it is in, if it is in one.
    pub rule: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.module, self.line, self.column)?;
        match &self.rule {
            Some(rule) => write!(f, ", rule '{rule}'"),
            None => Ok(()),
        }
    }
}

/// Why a bundle cannot judge. The one before it stays in force.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A data file is not a JSON object.
    #[error("{path} is not a JSON object: data of a policy is")]
    Data {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The data stands where a rule does.
    #[error("the data clashes with a rule: {0}")]
    Conflict(String),
    /// A module is not Rego, or uses what would be misjudged.
    #[error("{place}: {message}")]
    Refused {
        /// Where.
        place: Place,
        /// What is wrong there.
        message: String,
    },
    /// It cannot be compiled, and the compiler does not say where.
    #[error("cannot compile the policy: {0}")]
    Compile(String),
    /// Nothing is said for the case that no rule speaks.
    #[error(
        "no module has a default for {}: add `default decision := {{\"verdict\": \"deny\"}}` to package aidt.authz",
        crate::ENTRY_POINT
    )]
    NoDefault,
}
