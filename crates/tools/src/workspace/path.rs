//! Paths inside the workspace. What passes here names one place in a git tree, and nothing else on any
//! file system that the tree may later be checked out on.

use crate::failure;
use aidt_domain::Failure;
use std::fmt;

const MAX_PATH: usize = 4096;
const MAX_COMPONENT: usize = 255;

/// A checked path, relative to the root of the tree, with `/` between its components.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RepoPath(String);

impl RepoPath {
    /// Checks a path of a file or a directory. A leading `./` and a trailing `/` are dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(200).collect();
            failure::invalid(format!("path {shown:?} {why}"))
        };
        if text.len() > MAX_PATH {
            return Err(refuse(&format!("is longer than {MAX_PATH} bytes")));
        }
        if text.starts_with('/') {
            return Err(refuse("is absolute: give it relative to the root of the repository"));
        }
        let path = text.strip_prefix("./").unwrap_or(text);
        let path = path.strip_suffix('/').unwrap_or(path);
        for component in path.split('/') {
            if let Some(why) = fault(component) {
                return Err(refuse(why));
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// As [`Self::parse`]; `None` for the root (nothing, `.` or `./`).
    pub(crate) fn parse_or_root(text: &str) -> Result<Option<Self>, Failure> {
        match text {
            "" | "." | "./" => Ok(None),
            other => Self::parse(other).map(Some),
        }
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories above it, from the top: of `a/b/c`, `a` and `a/b`.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fault(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        Some("has an empty component")
    } else if component == "." || component == ".." {
        Some("has a component '.' or '..'")
    } else if component.len() > MAX_COMPONENT {
        Some("has a component of more than 255 bytes")
    } else if component.contains('\\') {
        Some("has a backslash: separate components with '/'")
    } else if component.chars().any(char::is_control) {
        Some("has a control character")
    } else if is_git_directory(component) {
        Some("leads into git's own directory")
    } else {
        None
    }
}

/// Whether some file system takes `component` for `.git`: case folding; trailing dots and spaces and
/// alternate streams (NTFS); its short name `git~1`; code points that HFS+ ignores. As git's own
/// `is_ntfs_dotgit` and `is_hfs_dotgit` do.
fn is_git_directory(component: &str) -> bool {
    let seen: String = component.chars().filter(|c| !ignored_by_hfs(*c)).flat_map(char::to_lowercase).collect();
    let name = seen.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let short = name.strip_prefix("git~").is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
    name == ".git" || short
}

fn ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_paths_pass() {
        for good in ["a", "a/b.rs", "./a", "dir/", ".github/workflows/ci.yml", ".gitignore", "a b/ü", "git~x", "x.git"]
        {
            assert!(RepoPath::parse(good).is_ok(), "{good}");
        }
        assert_eq!(RepoPath::parse("./a/b/").unwrap().as_str(), "a/b");
        assert_eq!(RepoPath::parse_or_root(".").unwrap(), None);
        assert_eq!(RepoPath::parse("a/b/c").unwrap().parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn ways_out_are_refused() {
        let long = "x".repeat(256);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a\0b",
            "a\nb",
            "a\\b",
            "..\\x",
            ".git",
            ".git/config",
            "sub/.git/hooks/x",
            ".GIT",
            ".Git/x",
            ".git.",
            ".git ",
            ".git . .",
            "git~1",
            "GIT~1/x",
            ".git::$INDEX_ALLOCATION/x",
            ".g\u{200c}it",
            "\u{feff}.git",
            long.as_str(),
        ] {
            assert!(RepoPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RepoPath::parse(&"a/".repeat(3000)).is_err());
    }

    proptest! {
        #[test]
        fn what_passes_stays_inside(text in "[a./~ gGiItT1:\\\\\u{200c}]{0,12}") {
            if let Ok(path) = RepoPath::parse(&text) {
                let lower = path.as_str().to_lowercase();
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.as_str().split('/').all(|c| !c.is_empty() && c != "." && c != ".."));
                prop_assert!(lower.split('/').all(|c| c != ".git" && c != "git~1"));
            }
        }
    }
}
