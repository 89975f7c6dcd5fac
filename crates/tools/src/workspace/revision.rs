//! Revisions and ranges that a caller names. Only a small grammar passes, so no argument can be taken for
//! an option, a path, or a search; `HEAD` means the commit that the call works on.

use crate::failure;
use aidt_domain::Failure;

const MAX: usize = 256;

/// A revision such as `HEAD~2`, `v1.0`, `main^2~3` or a commit id, in a form that git takes.
pub(crate) fn revision(text: &str, head: &str) -> Result<String, Failure> {
    let refuse = || {
        let shown: String = text.chars().take(80).collect();
        failure::invalid(format!(
            "revision {shown:?} is not of the form: HEAD, a branch, a tag or a commit id, then any of ~N and ^N"
        ))
    };
    let end = text.find(['~', '^']).unwrap_or(text.len());
    let (name, suffix) = text.split_at(end);
    let suffix_ok = suffix.chars().all(|c| matches!(c, '~' | '^') || c.is_ascii_digit());
    if text.len() > MAX || !suffix_ok {
        return Err(refuse());
    }
    match name {
        "HEAD" | "@" => Ok(format!("{head}{suffix}")),
        _ if is_name(name) => Ok(format!("{name}{suffix}")),
        _ => Err(refuse()),
    }
}

/// A revision, or two with `..` or `...` between them; a side left out is `HEAD`.
pub(crate) fn range(text: &str, head: &str) -> Result<String, Failure> {
    let side = |side: &str| {
        if side.is_empty() { Ok(head.to_owned()) } else { revision(side, head) }
    };
    for dots in ["...", ".."] {
        if let Some((from, to)) = text.split_once(dots) {
            return Ok(format!("{}{dots}{}", side(from)?, side(to)?));
        }
    }
    revision(text, head)
}

/// Whether `text` is a whole commit id.
pub(crate) fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names that git allows for a ref, less what has a meaning to `rev-parse`.
fn is_name(name: &str) -> bool {
    let starts = name.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let chars = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@' | '#'));
    starts && chars && !name.contains("..") && !name.contains("//") && !name.ends_with(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "1111111111111111111111111111111111111111";

    #[test]
    fn head_is_the_calls_commit() {
        assert_eq!(revision("HEAD", HEAD).unwrap(), HEAD);
        assert_eq!(revision("@~3", HEAD).unwrap(), format!("{HEAD}~3"));
        assert_eq!(range("HEAD~20..HEAD", HEAD).unwrap(), format!("{HEAD}~20..{HEAD}"));
        assert_eq!(range("v1.0..", HEAD).unwrap(), format!("v1.0..{HEAD}"));
        assert_eq!(range("a/b...HEAD^2", HEAD).unwrap(), format!("a/b...{HEAD}^2"));
        assert_eq!(range("feature-1.2", HEAD).unwrap(), "feature-1.2");
    }

    #[test]
    fn options_paths_and_searches_are_refused() {
        for bad in [
            "",
            "-x",
            "--output=/etc/x",
            "--",
            "a b",
            "HEAD:file",
            ":/fix",
            "HEAD^{/fix}",
            "HEAD@{1}",
            "a..b..c",
            "..-x",
            "a\0",
            "a\n",
            "^main",
            "main:..",
            "$(x)",
            "a~b",
        ] {
            assert!(range(bad, HEAD).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_never_an_option(text in any::<String>()) {
            if let Ok(range) = range(&text, HEAD) {
                let harmless = !range.starts_with('-') && !range.contains([' ', ':', '\0', '\n', '{']);
                prop_assert!(harmless, "{range:?}");
            }
        }
    }
}
