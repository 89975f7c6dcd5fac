//! A set of servers, one of each kind, under a name.

use crate::state::Engine;
use crate::{Error, Kind, Result, Server, Started, Status, compose, install};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// One server of each kind, all in one folder. Several stand side by side.
#[derive(Clone, Debug)]
pub struct Instance {
    folder: PathBuf,
    jars: PathBuf,
}

/// Where instances are: `AIDT_SERVICES_DIR`, else under the user's cache.
///
/// # Errors
/// [`Error::Unfit`] where neither that nor a home is known.
pub fn base_folder() -> Result<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let base = of("AIDT_SERVICES_DIR").or_else(|| cache().map(|cache| cache.join("aidt/services")));
    let base = base.ok_or_else(|| Error::Unfit("neither AIDT_SERVICES_DIR nor HOME is set".to_owned()))?;
    std::path::absolute(&base).map_err(Error::file("find", &base))
}

impl Instance {
    /// The instance of this name under [`base_folder`].
    ///
    /// # Errors
    /// [`Error::Unfit`] for a name that is not of lower-case letters, digits and hyphens.
    pub fn named(name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(fits) {
            return Err(Error::Unfit(format!("{name:?} is no name: use lower-case letters, digits and hyphens")));
        }
        Self::at(&base_folder()?.join(name))
    }

    /// An instance in a folder of the caller's choice. Kafka's jars stay under [`base_folder`].
    ///
    /// # Errors
    /// As [`base_folder`].
    pub fn at(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).map_err(Error::file("find", folder))?;
        Ok(Self { folder, jars: base_folder()?.join(".kafka/jars") })
    }

    /// One of its servers, whether it runs or not.
    #[must_use]
    pub fn server(&self, kind: Kind) -> Server {
        Server::new(kind, self.folder.join(kind.name()), self.jars.clone())
    }

    /// Starts these servers side by side, after installing what they miss, and waits until each answers. One
    /// whose port was taken since gets another. `say` hears what takes long or is out of the ordinary.
    ///
    /// # Errors
    /// The first that occurred; the other servers run.
    pub fn up(&self, kinds: &[Kind], say: &(dyn Fn(&str) + Sync)) -> Result<Vec<(Kind, Started)>> {
        if Engine::detect() == Engine::Native {
            install::packages(kinds, &self.jars, say)?;
        }
        self.each(kinds, |server| {
            if server.kind() == Kind::Kafka && !install::complete(&self.jars) {
                say("kafka: fetching its jars from Maven Central, once");
            }
            match server.start() {
                Err(Error::PortTaken { kind, port }) => {
                    server.move_away()?;
                    say(&format!("{kind}: port {port} is taken by another process; it moves to {}", server.url()?));
                    server.start()
                }
                other => other,
            }
        })
    }

    /// Stops these servers; tells of each whether it ran. `wipe` also removes their data and forgets them.
    ///
    /// # Errors
    /// The first that occurred; the other servers are stopped.
    pub fn down(&self, kinds: &[Kind], wipe: bool) -> Result<Vec<(Kind, bool)>> {
        let kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| self.server(*kind).folder().exists()).collect();
        let stopped = self.each(&kinds, |server| {
            let ran = server.stop()?;
            if wipe {
                server.remove_data()?;
                let folder = server.folder();
                fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
            }
            Ok(ran)
        });
        if wipe {
            // Not empty while other servers are there.
            let _ = fs::remove_dir(&self.folder);
        }
        stopped
    }

    /// How each of them is.
    ///
    /// # Errors
    /// If a server's state cannot be read.
    pub fn status(&self, kinds: &[Kind]) -> Result<Vec<Status>> {
        kinds.iter().map(|kind| self.server(*kind).status()).collect()
    }

    /// The variables that tell tests where these servers are, and their values.
    ///
    /// # Errors
    /// [`Error::Down`] for one that was never started.
    pub fn variables(&self, kinds: &[Kind]) -> Result<Vec<(&'static str, String)>> {
        kinds.iter().map(|kind| Ok((kind.variable(), self.server(*kind).url()?))).collect()
    }

    /// Does it to all at the same time, in the order of `kinds` in what it gives.
    fn each<T: Send>(&self, kinds: &[Kind], work: impl Fn(&Server) -> Result<T> + Sync) -> Result<Vec<(Kind, T)>> {
        let work = &work;
        thread::scope(|scope| {
            let threads: Vec<_> = kinds
                .iter()
                .map(|kind| {
                    let server = self.server(*kind);
                    (*kind, scope.spawn(move || work(&server)))
                })
                .collect();
            let results: Vec<_> = threads
                .into_iter()
                .map(|(kind, thread)| {
                    let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    result.map(|value| (kind, value))
                })
                .collect();
            results.into_iter().collect()
        })
    }
}

impl Engine {
    /// Containers if a Docker engine answers and its client has `compose`, else this machine's own packages.
    #[must_use]
    pub fn detect() -> Self {
        if compose::is_there() { Self::Compose } else { Self::Native }
    }
}
