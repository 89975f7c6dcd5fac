//! A disk that can be filled: a small file system in memory, which only root may mount.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Room for what is stored before the disk is full.
const SIZE: &str = "size=160m";

/// Mounted until it is dropped.
pub(super) struct Disk {
    /// A folder with a path that everybody may walk.
    folder: TempDir,
    /// The database that lives there, and the server's address.
    database: Option<(String, String)>,
}

impl Disk {
    /// Mounts one.
    ///
    /// # Panics
    /// When this machine does not let us.
    #[must_use]
    pub(super) fn mount() -> Self {
        Self::try_mount().unwrap_or_else(|why| panic!("{why}"))
    }

    /// Mounts one, or says why it cannot be had here.
    pub(super) fn try_mount() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("aidt-disk-").tempdir_in("/tmp").unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder.path()))?;
        must(Command::new("chmod").arg("755").arg(folder.path()));
        Ok(Self { folder, database: None })
    }

    /// Its root.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a database on it, in a server that runs on this machine, and answers its URL.
    #[must_use]
    pub(super) fn with_database(&mut self, server: &str) -> String {
        let space = self.path().join("space");
        fs::create_dir(&space).unwrap();
        must(Command::new("chown").arg("postgres").arg(&space));
        let name =
            format!("chaos_{}", self.path().file_name().unwrap().to_string_lossy().replace('-', "_").to_lowercase());
        must(&mut sql(server, &format!("create tablespace {name} location '{}'", space.display())));
        must(&mut sql(server, &format!("create database {name} tablespace {name}")));
        let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        self.database = Some((server.to_owned(), name));
        url
    }

    /// Writes until nothing more fits.
    pub(super) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    /// Makes room again.
    pub(super) fn free(&self) {
        // It may not be full.
        drop(fs::remove_file(self.ballast()));
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.free();
        let mut left = Vec::new();
        if let Some((server, name)) = &self.database {
            left.push(run(&mut sql(server, &format!("drop database {name} with (force)"))));
            left.push(run(&mut sql(server, &format!("drop tablespace {name}"))));
        }
        // Lazily: a process that has just been killed may still hold a file.
        left.push(run(Command::new("umount").arg("--lazy").arg(self.path())));
        left.into_iter().filter_map(Result::err).for_each(|why| println!("left behind: {why}"));
    }
}

/// One statement.
fn sql(server: &str, statement: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", statement, server]);
    command
}

fn must(command: &mut Command) {
    run(command).unwrap_or_else(|why| panic!("{why}"));
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", crate::text(&output))) }
}
