//! Where a workspace is cloned from: a path under an allowed root, or a URL.

use super::WorkspaceConfig;
use crate::failure;
use aidt_domain::Failure;
use std::path::{Path, PathBuf};

/// A checked source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A git repository on this machine: canonical, under an allowed root.
    Local(PathBuf),
    /// A URL, and the transport that git may use for it.
    Remote { url: String, transport: &'static str },
}

impl Source {
    /// Reads `git:` of a plan's workspace.
    pub(super) fn parse(text: &str, config: &WorkspaceConfig) -> Result<Self, Failure> {
        if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
            return Err(failure::invalid(format!("workspace source {text:?} is neither a path nor a URL")));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return local(path, config);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return remote(text, scheme, rest, config);
        }
        match text.split_once(':') {
            // `host:path`, as git and scp read it; `ext::…` and the like run programs.
            Some((host, path)) if !host.contains('/') => {
                if path.starts_with(':') || host.starts_with('-') {
                    return Err(failure::invalid(format!(
                        "workspace source {text:?} is not allowed: use https or a path"
                    )));
                }
                ssh(text, config)
            }
            _ => local(text, config),
        }
    }
}

fn remote(url: &str, scheme: &str, rest: &str, config: &WorkspaceConfig) -> Result<Source, Failure> {
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with('-') || url.contains(char::is_whitespace) {
        return Err(failure::invalid(format!("workspace source {url:?} names no host")));
    }
    match scheme {
        "https" if authority.contains('@') => Err(failure::invalid(
            "the workspace's URL holds a user name or password, which would stand in the run's history: leave it out",
        )),
        "https" => Ok(Source::Remote { url: url.to_owned(), transport: "https" }),
        "ssh" => {
            if authority.rsplit('@').next().is_some_and(|host| host.starts_with('-')) {
                return Err(failure::invalid(format!("workspace source {url:?} names no host")));
            }
            ssh(url, config)
        }
        other => Err(failure::invalid(format!(
            "workspace source {url:?}: the scheme '{other}' is not allowed, use https, ssh or a path"
        ))),
    }
}

fn ssh(url: &str, config: &WorkspaceConfig) -> Result<Source, Failure> {
    if config.allow_ssh {
        Ok(Source::Remote { url: url.to_owned(), transport: "ssh" })
    } else {
        Err(failure::workspace(
            "ssh_not_allowed",
            format!("workspace source {url:?} needs ssh, which this worker does not allow: use https or a path"),
        ))
    }
}

/// The same message whether a path outside the roots exists or not: a plan must not find out.
fn local(text: &str, config: &WorkspaceConfig) -> Result<Source, Failure> {
    let roots: Vec<PathBuf> = config.allowed_roots.iter().filter_map(|r| r.canonicalize().ok()).collect();
    let base = config.base.as_deref().or(roots.first().map(PathBuf::as_path));
    let found = base
        .map(|base| base.join(text))
        .and_then(|path| path.canonicalize().ok())
        .filter(|path| roots.iter().any(|root| path.starts_with(root)));
    let Some(path) = found else {
        return Err(outside(text, &roots));
    };
    if is_repository(&path) {
        Ok(Source::Local(path))
    } else {
        Err(failure::workspace(
            "not_a_repository",
            format!("workspace source {text:?} ({}) is not the top of a git repository", path.display()),
        ))
    }
}

fn outside(text: &str, roots: &[PathBuf]) -> Failure {
    let message = if roots.is_empty() {
        format!(
            "workspace source {text:?} is a local path, and this worker may open none: \
             set AIDT_WORKSPACE_ROOTS to the directories that plans may name"
        )
    } else {
        let roots: Vec<_> = roots.iter().map(|r| r.display().to_string()).collect();
        format!(
            "workspace source {text:?} is not a directory under an allowed root ({}): \
             add its directory to AIDT_WORKSPACE_ROOTS to allow it",
            roots.join(", ")
        )
    };
    failure::workspace("root_not_allowed", message)
}

fn is_repository(path: &Path) -> bool {
    path.join(".git").exists() || (path.join("HEAD").is_file() && path.join("objects").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn config(dir: &TempDir) -> WorkspaceConfig {
        let mut config = WorkspaceConfig::new(dir.path().join("state"));
        config.allowed_roots = vec![dir.path().join("allowed")];
        std::fs::create_dir_all(dir.path().join("allowed/repo/.git")).unwrap();
        std::fs::create_dir_all(dir.path().join("allowed/plain")).unwrap();
        std::fs::create_dir_all(dir.path().join("secret/repo/.git")).unwrap();
        config
    }

    #[test]
    fn paths_under_a_root_pass_relative_or_absolute() {
        let dir = TempDir::new().unwrap();
        let config = config(&dir);
        let repo = dir.path().join("allowed/repo").canonicalize().unwrap();
        for text in ["repo", "./repo", "plain/../repo", repo.to_str().unwrap(), &format!("file://{}", repo.display())] {
            assert_eq!(Source::parse(text, &config).unwrap(), Source::Local(repo.clone()), "{text}");
        }
        let failure = Source::parse("plain", &config).unwrap_err();
        assert_eq!(failure.reason.as_deref(), Some("not_a_repository"));
    }

    #[test]
    fn paths_outside_are_refused_alike_whether_they_exist_or_not() {
        let dir = TempDir::new().unwrap();
        let config = config(&dir);
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("allowed/link")).unwrap();
        for text in ["../secret/repo", "link/repo", "../none", "/", "none"] {
            let failure = Source::parse(text, &config).unwrap_err();
            assert_eq!(failure.reason.as_deref(), Some("root_not_allowed"), "{text}");
            assert!(failure.message.contains("AIDT_WORKSPACE_ROOTS"), "{failure}");
            assert!(failure.message.contains("allowed"), "{failure}");
        }
    }

    #[test]
    fn without_roots_no_path_is_opened() {
        let dir = TempDir::new().unwrap();
        let config = WorkspaceConfig { allowed_roots: Vec::new(), ..config(&dir) };
        let text = dir.path().join("allowed/repo");
        let failure = Source::parse(text.to_str().unwrap(), &config).unwrap_err();
        assert!(failure.message.contains("may open none"), "{failure}");
    }

    #[test]
    fn urls_pass_by_scheme() {
        let dir = TempDir::new().unwrap();
        let mut config = config(&dir);
        let https = "https://example.org/a.git";
        assert_eq!(
            Source::parse(https, &config).unwrap(),
            Source::Remote { url: https.to_owned(), transport: "https" }
        );
        for bad in [
            "http://example.org/a",
            "git://example.org/a",
            "ext::sh -c true",
            "https://u:p@example.org/a",
            "https:///a",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/a",
            "",
            "a\nb",
            "ssh://example.org/a",
            "git@example.org:a",
        ] {
            assert!(Source::parse(bad, &config).is_err(), "{bad:?}");
        }
        config.allow_ssh = true;
        assert!(Source::parse("git@example.org:a/b.git", &config).is_ok());
        assert!(Source::parse("ssh://git@example.org/a", &config).is_ok());
        assert!(Source::parse("ssh://git@-oProxyCommand=x/a", &config).is_err());
        assert!(Source::parse("-oProxyCommand=x:a", &config).is_err());
    }
}
