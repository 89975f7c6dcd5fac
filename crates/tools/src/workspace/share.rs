//! Workspaces of workers that share no disk.
//!
//! A worker that shares leaves each commit in the artifact store before it tells of it: the one at which
//! the run begins as a bundle of the whole repository, a later one as a bundle of what it adds to the
//! commit that it was made on. Another worker that is called on a commit which it does not have fetches
//! bundle after bundle, down to one that it has, and takes them in from there up. What is on a disk is
//! only a copy: it may be lost.

use super::{Git, GitError, Workspaces, revision};
use crate::{ToolContext, failure};
use aidt_artifacts::{ArtifactError, Files, Kind};
use aidt_domain::{EffectHint, Failure, RunId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Commits that are remembered to be here, at most; forgetting one costs a look.
const REMEMBERED: usize = 10_000;
/// What is left for each commit.
const BUNDLE: &str = "bundle";
/// And for one at which a run with a shallow history begins; also git's own name of that file.
const SHALLOW: &str = "shallow";
/// Bundles from the commit that is wanted to one that is here, at most.
const LONGEST: usize = 100_000;
/// How often a call that waits for another shows that it lives.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// What is shared with other workers, and what of it is known to be here.
#[derive(Debug)]
pub(super) struct Share {
    files: Arc<dyn Files>,
    here: Mutex<BTreeSet<(RunId, String)>>,
    /// One that fetches, per run.
    fetching: Mutex<BTreeMap<RunId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Share {
    pub(super) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, here: Mutex::default(), fetching: Mutex::default() }
    }

    fn has(&self, run: RunId, commit: &str) -> bool {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).contains(&(run, commit.to_owned()))
    }

    fn remember(&self, run: RunId, commit: &str) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.len() >= REMEMBERED {
            here.clear();
        }
        here.insert((run, commit.to_owned()));
    }

    async fn put(&self, ctx: &ToolContext, commit: &str, what: &str, from: &Path) -> Result<u64, Failure> {
        let name = name(ctx.run, commit, what);
        let put = self.files.put_file(&ctx.project, &name, from);
        unless_cancelled(ctx, put).await?.map_err(|error| not_stored("left for", &error))
    }

    /// False when nobody left that.
    async fn get(&self, ctx: &ToolContext, commit: &str, what: &str, to: &Path) -> Result<bool, Failure> {
        let name = name(ctx.run, commit, what);
        match unless_cancelled(ctx, self.files.get_file(&ctx.project, &name, to)).await? {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(not_stored("fetched from", &error)),
        }
    }

    fn turn_of(&self, run: RunId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(fetching.entry(run).or_default())
    }
}

impl Workspaces {
    /// Leaves `commit` for other workers, if this one shares: what `revisions` (refs, and `^` before what
    /// others have) add up to, which must hold at least one ref that leads to it.
    pub(super) async fn leave(
        &self,
        ctx: &ToolContext,
        dir: &Path,
        commit: &str,
        revisions: &[&str],
    ) -> Result<(), Failure> {
        let Some(share) = &self.share else { return Ok(()) };
        let folder = self.temporary(ctx)?;
        let bundle = folder.path().join("bundle");
        let made = self.git.command(dir, "bundle", &[], &ctx.cancel).args(["create", "--quiet"]);
        self.patient(made.arg(&bundle).args(revisions)).run().await?;
        // A bundle does not say where a shallow history ends. First, so that who sees the bundle has it.
        let shallow = dir.join(SHALLOW);
        if !revisions.iter().any(|r| r.starts_with('^')) && shallow.is_file() {
            share.put(ctx, commit, SHALLOW, &shallow).await?;
        }
        let bytes = share.put(ctx, commit, BUNDLE, &bundle).await?;
        tracing::debug!(run = %ctx.run, commit, bytes, "left a commit for other workers");
        share.remember(ctx.run, commit);
        Ok(())
    }

    /// Has `commit` here: fetches it if other workers made it.
    pub(super) async fn have(&self, ctx: &ToolContext, commit: &str) -> Result<(), Failure> {
        let Some(share) = &self.share else { return Ok(()) };
        // What is remembered was removed if somebody cleaned the disk.
        if share.has(ctx.run, commit) && self.repository(ctx.run).is_dir() {
            return Ok(());
        }
        let turn = share.turn_of(ctx.run);
        let _alone = in_turn(ctx, &turn).await?;
        let folder = self.temporary(ctx)?;
        let bundles = self.missing(ctx, share, commit, folder.path()).await?;
        if !bundles.is_empty() {
            self.take_in(ctx, &bundles, &folder.path().join(SHALLOW)).await?;
        }
        share.remember(ctx.run, commit);
        Ok(())
    }

    /// The bundles that lead from what is here to `commit`, the last first.
    async fn missing(
        &self,
        ctx: &ToolContext,
        share: &Share,
        commit: &str,
        folder: &Path,
    ) -> Result<Vec<Bundle>, Failure> {
        let dir = self.repository(ctx.run);
        let mut bundles = Vec::new();
        let mut seen = BTreeSet::new();
        let mut wanted = Some(commit.to_owned());
        while let Some(commit) = wanted {
            if !seen.insert(commit.clone()) {
                return Err(failure::internal(format!("the bundles of {} lead from {commit} to itself", ctx.run)));
            }
            if dir.is_dir() && is_in(&self.git, &dir, &commit, ctx).await? {
                break;
            }
            if bundles.len() >= LONGEST {
                return Err(failure::internal(format!("{commit} is over {LONGEST} bundles away from what is here")));
            }
            let file = folder.join(bundles.len().to_string());
            ctx.sink.progress(None, if bundles.is_empty() { "fetching the workspace from another worker" } else { "" });
            if !share.get(ctx, &commit, BUNDLE, &file).await? {
                return Err(elsewhere(ctx.run, &commit));
            }
            wanted = base_of(&file).map_err(|e| not_taken_in(&commit, &e))?;
            if wanted.is_none() {
                share.get(ctx, &commit, SHALLOW, &folder.join(SHALLOW)).await?;
            }
            bundles.push(Bundle { commit, file });
        }
        Ok(bundles)
    }

    async fn take_in(&self, ctx: &ToolContext, bundles: &[Bundle], shallow: &Path) -> Result<(), Failure> {
        let target = self.repository(ctx.run);
        if target.is_dir() {
            end_history(shallow, &target)?;
        } else {
            // With the first it can stand in its place: what follows is kept, bundle by bundle, however this ends.
            let first = bundles.len().saturating_sub(1)..;
            let new = self.temporary(ctx)?;
            let init = self.git.command(new.path(), "init", &[], &ctx.cancel);
            init.args(["--quiet", "--bare", "--template="]).run().await?;
            end_history(shallow, new.path())?;
            self.fetch_bundles(ctx, new.path(), &bundles[first.clone()]).await?;
            match fs::rename(new.path(), &target) {
                Ok(()) => return self.fetch_bundles(ctx, &target, &bundles[..first.start]).await,
                // Another worker process of this disk was faster.
                Err(_) if target.is_dir() => {}
                Err(e) => {
                    let message = format!("cannot move the workspace to {}: {e}", target.display());
                    return Err(failure::internal(message));
                }
            }
        }
        self.fetch_bundles(ctx, &target, bundles).await
    }

    async fn fetch_bundles(&self, ctx: &ToolContext, dir: &Path, bundles: &[Bundle]) -> Result<(), Failure> {
        for bundle in bundles.iter().rev() {
            ctx.sink.progress(None, "");
            let fetched = match self.fetch_bundle(ctx, dir, bundle).await {
                // Another worker process of this disk may be at it, and hold the locks of the same refs.
                Err(GitError::Exit { .. }) => self.fetch_bundle(ctx, dir, bundle).await,
                fetched => fetched,
            };
            match fetched {
                Err(error @ GitError::Exit { .. }) => {
                    if !is_in(&self.git, dir, &bundle.commit, ctx).await? {
                        return Err(not_taken_in(&bundle.commit, &error));
                    }
                }
                fetched => fetched?,
            }
        }
        Ok(())
    }

    async fn fetch_bundle(&self, ctx: &ToolContext, dir: &Path, bundle: &Bundle) -> Result<(), GitError> {
        let fetch = self.git.command(dir, "fetch", &["protocol.file.allow=always"], &ctx.cancel);
        let fetch = fetch.args(["--quiet", "--no-tags", "--no-recurse-submodules", "--"]).arg(&bundle.file);
        self.patient(fetch.arg("+refs/*:refs/*")).run().await.map(drop)
    }
}

/// Waits for others who fetch the same run, showing that it lives.
async fn in_turn<'a>(
    ctx: &ToolContext,
    turn: &'a tokio::sync::Mutex<()>,
) -> Result<tokio::sync::MutexGuard<'a, ()>, Failure> {
    let mut locking = std::pin::pin!(turn.lock());
    let mut signs = tokio::time::interval(SIGN_EVERY);
    loop {
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(failure::cancelled()),
            alone = &mut locking => return Ok(alone),
            _ = signs.tick() => ctx.sink.progress(None, ""),
        }
    }
}

/// What leads to a commit, fetched.
struct Bundle {
    commit: String,
    file: PathBuf,
}

/// Says where a shallow history ends, if this one does.
fn end_history(shallow: &Path, dir: &Path) -> Result<(), Failure> {
    match fs::copy(shallow, dir.join(SHALLOW)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(failure::internal(format!("cannot write to the workspace {}: {e}", dir.display())))
        }
        _ => Ok(()),
    }
}

/// Where a commit of a run is left.
fn name(run: RunId, commit: &str, what: &str) -> String {
    format!("workspaces/{run}/{commit}.{what}")
}

async fn is_in(git: &Git, dir: &Path, commit: &str, ctx: &ToolContext) -> Result<bool, GitError> {
    let look = git.command(dir, "cat-file", &[], &ctx.cancel);
    match look.args(["-e", &format!("{commit}^{{commit}}")]).run().await {
        Ok(_) => Ok(true),
        Err(GitError::Exit { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The commit that a bundle builds on: its head says so, in text. None for one that stands by itself.
fn base_of(bundle: &Path) -> std::io::Result<Option<String>> {
    let mut base = None;
    for (at, line) in BufReader::new(fs::File::open(bundle)?).split(b'\n').enumerate() {
        let line = line?;
        let invalid = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned());
        match line.as_slice() {
            signature if at == 0 && !signature.starts_with(b"# v") => return Err(invalid("it is no bundle")),
            [] => return Ok(base),
            [b'-', rest @ ..] => {
                let id = rest.split(|b| *b == b' ').next().unwrap_or_default();
                let id = String::from_utf8_lossy(id).into_owned();
                if base.is_some() || !revision::is_commit_id(&id) {
                    return Err(invalid("it does not build on one commit"));
                }
                base = Some(id);
            }
            _ => {}
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it ends in its head"))
}

/// The call may be cancelled while files travel.
async fn unless_cancelled<T>(ctx: &ToolContext, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(failure::cancelled()),
        done = work => Ok(done),
    }
}

/// What no worker has left.
pub(super) fn elsewhere(run: RunId, commit: &str) -> Failure {
    failure::workspace(
        "workspace_elsewhere",
        format!(
            "commit {commit} of {run} is not on this worker's disk, nor in the artifact store: give all workers the \
             same AIDT_ARTIFACTS_URL, or the same AIDT_WORKSPACES"
        ),
    )
}

/// It may be replaced, or taken in by others, at this very moment: another try may fare better.
fn not_taken_in(commit: &str, error: &dyn std::error::Error) -> Failure {
    let message = format!("the bundle of commit {commit} cannot be taken in: {error}");
    Failure { retryable: true, effect: EffectHint::None, ..failure::workspace("artifacts", message) }
}

fn not_stored(what: &str, error: &ArtifactError) -> Failure {
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let message = format!("the workspace cannot be {what} other workers: {error}{cause}");
    let retryable = matches!(error.kind, Kind::Unavailable | Kind::Unknown);
    Failure { retryable, effect: EffectHint::None, ..failure::workspace("artifacts", message) }
}

#[cfg(test)]
mod tests {
    use crate::builtin::testing::{Repo, git};
    use crate::builtin::{RepoRead, RepoWrite};
    use aidt_artifacts::Files as _;
    use aidt_domain::Failure;
    use serde_json::json;
    use std::fs;

    async fn write(repo: &Repo, path: &str, content: &str) -> String {
        let args = json!({"path": path, "content": content});
        repo.with_key(path).call_whole(RepoWrite(repo.workspaces()), args).await.unwrap().workspace.unwrap().commit
    }

    async fn read(repo: &Repo, path: &str) -> Result<String, Failure> {
        let output = repo.call(RepoRead(repo.workspaces()), json!({"path": path})).await?;
        Ok(output["content"].as_str().unwrap().to_owned())
    }

    async fn begun() -> Repo {
        let repo = Repo::shared();
        repo.commit("a", "one");
        repo.commit("a", "two");
        repo.git(&["tag", "v1", "HEAD~1"]);
        repo.prepared().await
    }

    #[tokio::test]
    async fn a_step_goes_on_where_another_workers_disk_ended() {
        let first = begun().await;
        let one = write(&first, "b", "by the first").await;
        let second = first.on_a_new_disk().at(&one);
        assert_eq!(read(&second, "b").await.unwrap(), "by the first");
        let two = write(&second, "c", "by the second").await;
        // It has the beginning, and fetches only what was added.
        assert_eq!(read(&first.at(&two), "c").await.unwrap(), "by the second");
        let third = first.on_a_new_disk().at(&two);
        for (path, content) in [("a", "two"), ("b", "by the first"), ("c", "by the second")] {
            assert_eq!(read(&third, path).await.unwrap(), content);
        }
        assert_eq!(third.bare(&["rev-parse", "refs/aidt/start"]), first.head());
        assert_eq!(third.bare(&["rev-parse", "v1"]), first.bare(&["rev-parse", "v1"]));
        assert_eq!(third.bare(&["fsck", "--strict", "--connectivity-only"]), "");
        let left = fs::read_dir(third.state()).unwrap().count();
        assert_eq!(left, 1, "no temporary directory stays");
    }

    #[tokio::test]
    async fn many_calls_at_once_fetch_once_each_and_agree() {
        let first = begun().await;
        let commit = write(&first, "b", "x").await;
        let second = first.on_a_new_disk().at(&commit);
        let (a, b, c) = tokio::join!(read(&second, "a"), read(&second, "b"), read(&second, "a"));
        assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), ("two".to_owned(), "x".to_owned(), "two".to_owned()));
    }

    #[tokio::test]
    async fn a_long_chain_shows_life_with_each_link_and_what_was_taken_in_stays() {
        let first = begun().await;
        let mut commits = vec![first.head()];
        for n in 0..4 {
            let at = first.at(&commits[n]);
            commits.push(write(&at, &format!("f{n}"), "x").await);
        }
        let (ctx, signs) = crate::builtin::testing::context_with_sink();
        let mut second = first.on_a_new_disk();
        second.ctx = ctx;
        let mut second = second.at(&commits[4]);
        assert_eq!(read(&second, "f3").await.unwrap(), "x");
        assert!(signs.progress() >= 2 * commits.len(), "{} signs of life", signs.progress());
        // The last link cannot be taken in: those before it were not in vain.
        let third = first.on_a_new_disk().at(&commits[4]);
        let torn = first.source().join("torn");
        let left = super::name(first.ctx.run, &commits[4], super::BUNDLE);
        first.files().get_file(&first.ctx.project, &left, &torn).await.unwrap();
        let bytes = fs::read(&torn).unwrap();
        fs::write(&torn, &bytes[..bytes.len() - 10]).unwrap();
        first.files().put_file(&first.ctx.project, &left, &torn).await.unwrap();
        read(&third, "f3").await.unwrap_err();
        assert_eq!(third.bare(&["cat-file", "-t", &commits[3]]), "commit");
        // Whoever waits for its turn shows life, too, and can be told to stop.
        let workspaces = second.workspaces();
        let turn = workspaces.share.as_ref().unwrap().turn_of(second.ctx.run);
        let held = turn.lock().await;
        second.ctx.commit = Some("0123456789012345678901234567890123456789".to_owned());
        let (before, cancel) = (signs.progress(), second.ctx.cancel.clone());
        let waiting = read(&second, "a");
        let stop = async {
            while signs.progress() == before {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let (stopped, ()) = tokio::join!(waiting, stop);
        assert_eq!(stopped.unwrap_err().code, aidt_domain::ErrorCode::Cancelled);
        drop(held);
    }

    #[tokio::test]
    async fn worker_processes_of_one_disk_fetch_the_same_run_at_once() {
        let first = begun().await;
        let one = write(&first, "b", "x").await;
        let two = write(&first.at(&one), "c", "y").await;
        for _ in 0..8 {
            let second = first.on_a_new_disk().at(&two);
            let others: Vec<_> = (0..3).map(|_| second.beside()).collect();
            let [a, b, c] = others.as_slice() else { panic!("three") };
            let read = tokio::join!(read(&second, "c"), read(a, "c"), read(b, "a"), read(c, "b"));
            let read = (read.0.unwrap(), read.1.unwrap(), read.2.unwrap(), read.3.unwrap());
            assert_eq!(read, ("y".to_owned(), "y".to_owned(), "two".to_owned(), "x".to_owned()));
            assert_eq!(second.bare(&["fsck", "--strict", "--connectivity-only"]), "");
        }
    }

    #[tokio::test]
    async fn a_bundle_that_git_cannot_read_is_fetched_again_by_a_retry() {
        let first = begun().await;
        let commit = write(&first, "b", "x").await;
        let left = super::name(first.ctx.run, &commit, super::BUNDLE);
        let (whole, torn) = (first.source().join("whole"), first.source().join("torn"));
        first.files().get_file(&first.ctx.project, &left, &whole).await.unwrap();
        let bytes = fs::read(&whole).unwrap();
        let second = first.on_a_new_disk().at(&commit);
        for len in [10, bytes.len() - 10] {
            fs::write(&torn, &bytes[..len]).unwrap();
            first.files().put_file(&first.ctx.project, &left, &torn).await.unwrap();
            let failure = read(&second, "b").await.unwrap_err();
            assert!(failure.retryable, "{failure:?}");
        }
        first.files().put_file(&first.ctx.project, &left, &whole).await.unwrap();
        assert_eq!(read(&second, "b").await.unwrap(), "x");
    }

    #[tokio::test]
    async fn only_a_preparation_looks_through_the_whole_folder() {
        let repo = begun().await;
        let abandoned = repo.state().join("killed.tmp");
        fs::create_dir(&abandoned).unwrap();
        fs::File::open(&abandoned).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let commit = write(&repo, "b", "x").await;
        read(&repo.at(&commit), "b").await.unwrap();
        assert!(abandoned.is_dir());
        repo.other_run().prepared().await;
        assert!(!abandoned.is_dir());
    }

    #[tokio::test]
    async fn a_disk_that_was_lost_is_filled_again() {
        let first = begun().await;
        let commit = write(&first, "b", "x").await;
        let again = first.at(&commit);
        for lost in [first.state(), first.workspaces().repository(first.ctx.run)] {
            fs::remove_dir_all(lost).unwrap();
            assert_eq!(read(&again, "b").await.unwrap(), "x");
        }
    }

    #[tokio::test]
    async fn a_shallow_history_ends_where_it_ended() {
        let repo = Repo::shared();
        repo.commit("a", "one");
        repo.commit("a", "two");
        let url = format!("file://{}", repo.source().display());
        git(&repo.source(), &["clone", "-q", "--depth=1", &url, "shallow"]);
        let args = json!({"git": "shallow"});
        let prepared = repo.call_whole(crate::builtin::Prepare(repo.workspaces()), args).await.unwrap();
        let other = repo.on_a_new_disk().at(&prepared.workspace.unwrap().commit);
        assert_eq!(read(&other, "a").await.unwrap(), "two");
        assert_eq!(other.bare(&["rev-list", "--count", &other.head()]), "1");
        let commit = write(&other, "b", "x").await;
        assert_eq!(read(&repo.on_a_new_disk().at(&commit), "b").await.unwrap(), "x");
    }

    #[tokio::test]
    async fn what_nobody_left_is_named() {
        let first = begun().await;
        let missing = "0123456789012345678901234567890123456789";
        let failure = read(&first.at(missing), "a").await.unwrap_err();
        assert_eq!(failure.reason.as_deref(), Some("workspace_elsewhere"));
        assert!(failure.message.contains(missing) && failure.message.contains("AIDT_ARTIFACTS_URL"), "{failure}");
        let failure = read(&first.on_a_new_disk().other_run(), "a").await.unwrap_err();
        assert_eq!(failure.reason.as_deref(), Some("workspace_elsewhere"));
    }
}
