//! A statement with its arguments.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Type};
use std::borrow::Cow;
use std::fmt;

type BoxDynError = Box<dyn std::error::Error + Send + Sync>;

/// A statement with its arguments. Its text never holds a value.
pub(crate) struct Statement {
    text: Cow<'static, str>,
    arguments: Result<PgArguments, BoxDynError>,
    bound: usize,
}

/// The place of an argument in the text: `$1`.
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.0)
    }
}

impl Statement {
    /// A fixed text; [`Statement::with`] gives its arguments in their order.
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), arguments: Ok(PgArguments::default()), bound: 0 }
    }

    /// The next argument.
    pub(crate) fn with<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.place(value);
        self
    }

    /// The next argument, for a text that is being made.
    pub(crate) fn place<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&mut self, value: T) -> Place {
        if let Ok(arguments) = &mut self.arguments
            && let Err(error) = arguments.add(value)
        {
            self.arguments = Err(error);
        }
        self.bound += 1;
        Place(self.bound)
    }

    /// Gives the text that was made for the arguments.
    pub(crate) fn say(&mut self, text: String) {
        self.text = Cow::Owned(text);
    }

    /// Ready to be run, unless an argument is not one.
    pub(crate) fn query(self) -> Result<Query<'static, Postgres, PgArguments>, sqlx::Error> {
        let arguments = self.arguments.map_err(sqlx::Error::Encode)?;
        Ok(sqlx::query_with(AssertSqlSafe(self.text), arguments))
    }
}
