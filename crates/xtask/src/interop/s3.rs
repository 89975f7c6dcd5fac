//! A real S3-compatible store: versitygw over a folder, from the Go module proxy.

use anyhow::{Context as _, Result, bail};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const MODULE: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
const BUCKET: &str = "aidt-test";
const KEYS: (&str, &str) = ("aidt-test", "aidt-test-secret");

/// Starts the store, runs the tests of the adapter against it, and stops it.
pub(super) fn run(root: &Path, target: &Path) -> Result<()> {
    let binary = binary(root, target)?;
    let folder = target.join("interop-s3");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    // The store refuses a folder for its notes whose path begins with that of its objects.
    let (objects, notes) = (folder.join("objects"), folder.join("notes"));
    std::fs::create_dir_all(objects.join(BUCKET)).and_then(|()| std::fs::create_dir_all(&notes))?;
    let address = free_address()?;
    let mut store = Store(
        Command::new(&binary)
            .env("ROOT_ACCESS_KEY", KEYS.0)
            .env("ROOT_SECRET_KEY", KEYS.1)
            .args(["--port", &address.to_string(), "--region", "us-east-1", "--quiet", "posix", "--sidecar"])
            .args([&notes, &objects])
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?,
    );
    store.wait_until_it_listens(address)?;
    let mut tests = crate::build::tests(root, &["aidt-artifacts-s3/interop"])?;
    tests
        .args(["--test", "s3"])
        .env("AIDT_TEST_S3_URL", format!("http://{address}/{BUCKET}"))
        .env("AIDT_TEST_S3_KEYS", format!("{}:{}", KEYS.0, KEYS.1));
    crate::wait("cargo test of artifacts in S3", &mut tests)
}

/// Made once under the target folder.
fn binary(root: &Path, target: &Path) -> Result<PathBuf> {
    let folder = target.join("interop-go");
    let binary = folder.join("versitygw");
    if !binary.is_file() {
        let mut install = Command::new("go");
        install.current_dir(root).args(["install", MODULE]).env("GOBIN", &folder).env("GOFLAGS", "-p=2");
        crate::wait("go install of versitygw", &mut install)
            .context("cannot get versitygw from the Go module proxy (Go 1.24 or newer is needed: https://go.dev/dl)")?;
    }
    Ok(binary)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A store that runs; stopped when it is dropped.
struct Store(Child);

#[expect(clippy::disallowed_methods, reason = "a real program is waited for by the wall clock")]
impl Store {
    fn wait_until_it_listens(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("versitygw ended at its start: {status}");
            }
            if Instant::now() > deadline {
                bail!("versitygw did not listen on {address} within 30 s");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
