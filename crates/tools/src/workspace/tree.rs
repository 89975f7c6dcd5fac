//! Looking paths up in the tree of a commit, without following links.

use super::{RepoPath, Workspace};
use crate::failure;
use aidt_domain::Failure;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File {
        /// Mode 755.
        executable: bool,
    },
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A commit of another repository.
    Submodule,
}

impl Kind {
    /// As shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Symlink => "symlink",
            Self::Directory => "directory",
            Self::Submodule => "submodule",
        }
    }

    fn of_mode(mode: &str) -> Option<Self> {
        match mode {
            "040000" => Some(Self::Directory),
            "120000" => Some(Self::Symlink),
            "160000" => Some(Self::Submodule),
            _ if mode.starts_with("100") => Some(Self::File { executable: mode == "100755" }),
            _ => None,
        }
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) object: String,
    /// Bytes; 0 for what is no file.
    pub(crate) size: u64,
    pub(crate) path: String,
}

/// Reads `git ls-tree -z -l`. Names that are not UTF-8 show U+FFFD, and cannot be asked for. An entry that
/// was cut off at the end is left out.
pub(crate) fn parse_entries(stdout: &[u8]) -> impl Iterator<Item = Entry> {
    let whole = stdout.iter().rposition(|b| *b == 0).map_or(&stdout[..0], |end| &stdout[..end]);
    whole.split(|b| *b == 0).filter_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (meta, path) = line.split_once('\t')?;
        let mut fields = meta.split_ascii_whitespace();
        let (mode, _, object, size) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Entry {
            kind: Kind::of_mode(mode)?,
            object: object.to_owned(),
            size: size.parse().unwrap_or(0),
            path: path.to_owned(),
        })
    })
}

impl Workspace<'_> {
    /// What stands at `path`, if anything. Refuses a path that leads through a symbolic link, a file or a
    /// submodule, and says which of its directories that is.
    pub(crate) async fn lookup(&self, path: &RepoPath) -> Result<Option<Entry>, Failure> {
        let listed = self
            .git("ls-tree")
            .args(["-z", "-t", "-l", "--full-tree", self.commit(), "--"])
            .args(path.parents())
            .arg(path.as_str())
            .run()
            .await?;
        let mut found = None;
        for entry in parse_entries(&listed.stdout) {
            if entry.path == path.as_str() {
                found = Some(entry);
            } else if path.parents().any(|p| p == entry.path) && entry.kind != Kind::Directory {
                let why = match entry.kind {
                    Kind::Symlink => "is a symbolic link, which is not followed",
                    Kind::Submodule => "is a submodule, which is not cloned",
                    _ => "is a file",
                };
                return Err(failure::invalid(format!("path {path}: {} {why}", entry.path)));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_prints_and_drops_what_was_cut_off() {
        let stdout = b"100755 blob aa       3\ta b\x00040000 tree bb       -\tdir\x00120000 blob cc       1\tl\x00160000 commit dd       -\tsub\x00100644 blob ee      12\tcut";
        let entries: Vec<_> = parse_entries(stdout).map(|e| (e.kind.as_str(), e.size, e.path)).collect();
        let expected = [("file", 3, "a b"), ("directory", 0, "dir"), ("symlink", 1, "l"), ("submodule", 0, "sub")];
        assert_eq!(entries, expected.map(|(k, s, p)| (k, s, p.to_owned())));
        assert_eq!(parse_entries(b"").count(), 0);
        assert_eq!(parse_entries(b"100644 blob ee 12\tcut").count(), 0);
    }
}
