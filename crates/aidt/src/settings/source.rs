//! Where a value comes from: a flag, a variable, another name of the variable.

use super::names::Name;
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use std::path::Path;

/// The environment, or what stands for it in a test. An empty variable counts as not set.
pub(super) struct Source<'a>(&'a dyn Fn(&str) -> Option<String>);

/// A word that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn new(word: String) -> Self {
        Self(word)
    }

    #[cfg(test)]
    pub(crate) fn of_test(word: &str) -> Self {
        Self(word.to_owned())
    }

    /// The word itself. Never log it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A setting that is wrong: what, and what to do.
pub(super) fn invalid(message: impl Into<String>) -> HostError {
    HostError::new(ErrorCode::InvalidArgument, message)
}

impl<'a> Source<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// What is the system's, such as `PATH`.
    pub(super) fn variable_of_system(&self, name: &str) -> Option<String> {
        self.variable(name)
    }

    /// Under its own name only: for what other programs mean by the aliases.
    pub(super) fn own(&self, name: &Name) -> Option<String> {
        self.variable(name.name)
    }

    /// Under whichever of its names it is set; all that are set must agree.
    pub(super) fn get(&self, name: &Name) -> Result<Option<String>, HostError> {
        let mut found: Option<(&str, String)> = None;
        for variable in std::iter::once(&name.name).chain(name.aliases) {
            let Some(value) = self.variable(variable) else { continue };
            match &found {
                None => found = Some((variable, value)),
                Some((_, first)) if *first == value => {}
                Some((other, _)) => {
                    let message = format!("{other} and {variable} are the same setting and disagree: unset one");
                    return Err(invalid(message));
                }
            }
        }
        Ok(found.map(|(_, value)| value))
    }

    /// A number in a range.
    pub(super) fn number(
        &self,
        name: &Name,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, HostError> {
        let Some(text) = self.get(name)? else { return Ok(default) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let (from, to) = (range.start(), range.end());
                Err(invalid(format!("{} is '{text}': give a number from {from} to {to}", name.name)))
            }
        }
    }

    /// The text of a PEM file.
    pub(super) fn pem(&self, name: &Name, cwd: &Path) -> Result<Option<String>, HostError> {
        let Some(path) = self.get(name)? else { return Ok(None) };
        let path = cwd.join(path);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            let what = format!("{} names {}, which cannot be read", name.name, path.display());
            crate::error::cannot(ErrorCode::InvalidArgument, what, e)
        })?;
        if text.contains("-----BEGIN ") {
            return Ok(Some(text));
        }
        Err(invalid(format!("{} names {}, which holds nothing in PEM form", name.name, path.display())))
    }

    /// A secret: as it is, or in a file.
    pub(super) fn secret(&self, name: &Name, file: &Name, cwd: &Path) -> Result<Option<Secret>, HostError> {
        Ok(self.or_in_file(name, self.get(name)?, file, cwd)?.map(Secret))
    }

    /// A word that may be in a file instead, where fewer people see it.
    pub(super) fn or_in_file(
        &self,
        name: &Name,
        word: Option<String>,
        file: &Name,
        cwd: &Path,
    ) -> Result<Option<String>, HostError> {
        let Some(path) = self.get(file)? else { return Ok(word) };
        let path = cwd.join(path);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            crate::error::cannot(
                ErrorCode::InvalidArgument,
                format!("{} names {}, which cannot be read", file.name, path.display()),
                e,
            )
        })?;
        let text = text.trim();
        if text.is_empty() {
            return Err(invalid(format!("{} names {}, which is empty", file.name, path.display())));
        }
        match word {
            Some(word) if word != text => {
                Err(invalid(format!("{} and {} are the same setting and disagree: unset one", name.name, file.name)))
            }
            _ => Ok(Some(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::names;

    fn with(pairs: &[(&str, &str)], check: impl FnOnce(&Source<'_>)) {
        let lookup = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        check(&Source::new(&lookup));
    }

    #[test]
    fn aliases_may_agree_and_never_disagree() {
        with(&[("DATABASE_URL", "a")], |s| {
            assert_eq!(s.get(names::DATABASE).unwrap().as_deref(), Some("a"));
            assert_eq!(s.own(names::DATABASE), None);
        });
        with(&[("DATABASE_URL", "a"), ("AIDT_DATABASE_URL", "a")], |s| {
            assert_eq!(s.get(names::DATABASE).unwrap().as_deref(), Some("a"));
        });
        with(&[("DATABASE_URL", "a"), ("AIDT_DATABASE_URL", "b:secret")], |s| {
            let error = s.get(names::DATABASE).unwrap_err().to_string();
            assert!(error.contains("DATABASE_URL") && !error.contains("secret"), "{error}");
        });
        with(&[("DATABASE_URL", "a"), ("AIDT_DATABASE_URL", "")], |s| {
            assert_eq!(s.get(names::DATABASE).unwrap().as_deref(), Some("a"), "empty is not set");
        });
    }

    #[test]
    fn numbers_have_bounds() {
        with(&[("AIDT_PARTITIONS", "0")], |s| assert!(s.number(names::PARTITIONS, 8, 1..=9).is_err()));
        with(&[("AIDT_PARTITIONS", "9")], |s| assert_eq!(s.number(names::PARTITIONS, 8, 1..=9).unwrap(), 9));
        with(&[], |s| assert_eq!(s.number(names::PARTITIONS, 8, 1..=9).unwrap(), 8));
    }

    #[test]
    fn a_secret_is_never_shown() {
        with(&[("AIDT_WORKER_TOKEN", "hush")], |s| {
            let secret = s.secret(names::WORKER_TOKEN, names::WORKER_TOKEN_FILE, Path::new("/")).unwrap().unwrap();
            assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("hush", "Secret(…)"));
        });
        with(&[("AIDT_WORKER_TOKEN_FILE", "/no/such/file")], |s| {
            assert!(s.secret(names::WORKER_TOKEN, names::WORKER_TOKEN_FILE, Path::new("/")).is_err());
        });
    }
}
