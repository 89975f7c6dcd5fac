//! The `if` of a step.

use crate::error::{ExprError, ExprErrorKind, Trouble};
use crate::program::Program;
use crate::selector::kind_of;
use crate::{References, Scope};
use aidt_domain::Labels;
use serde_json::Value;

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition {
    program: Program,
    references: References,
}

impl Condition {
    /// Compiles the source of an `if`, without `${{ }}`.
    ///
    /// # Errors
    /// The source is not a valid expression.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let program = Program::compile(source, true)?;
        if let Some(value) = program.literal()
            && !value.is_boolean()
        {
            return Err(program.error(not_bool(value)));
        }
        let mut references = References::default();
        program.note(&mut references);
        Ok(Self { program, references })
    }

    /// What it reads.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// It asks for the status of the steps that are needed, by `always()`, `success()` or `failure()`:
    /// then it alone decides, and a failed or skipped need does not skip the step.
    #[must_use]
    pub fn always(&self) -> bool {
        self.program.asks_status()
    }

    /// Whether the step is wanted, and the labels of what that was decided on.
    ///
    /// # Errors
    /// It could not be evaluated, or is neither true nor false.
    pub fn eval(&self, scope: &Scope) -> Result<(bool, Labels), ExprError> {
        match &*self.program.eval(scope, false)? {
            Value::Bool(wanted) => Ok((*wanted, scope.labels(&self.references))),
            other => Err(self.program.error(not_bool(other))),
        }
    }
}

fn not_bool(value: &Value) -> Trouble {
    let message = format!("a condition must be true or false, and this is {}", kind_of(value));
    Trouble::new(ExprErrorKind::Evaluation, message)
}
