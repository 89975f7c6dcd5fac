use super::*;
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use tokio::time::Instant;

const GRACE: Grace = Grace { drain: Duration::from_secs(10), kill: Duration::from_secs(3) };

type Never = Result<(), Infallible>;

fn until_drained(tree: &TaskTree) -> impl Future<Output = Never> + Send + 'static {
    let shutdown = tree.shutdown().clone();
    async move {
        shutdown.draining().await;
        Ok(())
    }
}

fn until_killed(tree: &TaskTree) -> impl Future<Output = Never> + Send + 'static {
    let shutdown = tree.shutdown().clone();
    async move {
        shutdown.killed().await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_task_ends_the_others_and_is_named() {
    let mut tree = TaskTree::new(Shutdown::new());
    let service = until_drained(&tree);
    tree.spawn_service("http", service);
    tree.spawn("poller", async {
        assert_eq!(1, 2, "numbers differ");
        Never::Ok(())
    });
    let error = tree.run(GRACE).await.unwrap_err();
    assert!(error.to_string().starts_with("task poller panicked: "), "{error}");
    assert!(error.to_string().contains("numbers differ"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_keeps_its_cause() {
    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn("store", async { Err(io::Error::other("disk full")) });
    let error = tree.run(GRACE).await.unwrap_err();
    assert_eq!(error.to_string(), "task store failed");
    assert_eq!(error.source().unwrap().to_string(), "disk full");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_early_is_a_failure_and_a_task_is_not() {
    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn("once", async { Never::Ok(()) });
    assert!(tree.run(GRACE).await.is_ok());

    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn_service("http", async { Never::Ok(()) });
    let error = tree.run(GRACE).await.unwrap_err();
    assert_eq!(error.to_string(), "task http ended before it was told to");
}

#[tokio::test(start_paused = true)]
async fn a_branch_names_its_tasks_and_ends_the_tree() {
    let mut tree = TaskTree::new(Shutdown::new());
    let mut gateway = tree.branch("gateway");
    gateway.spawn("http", async { Err(io::Error::other("bind")) });
    let service = until_drained(&tree);
    tree.spawn_service("owner", service);
    tree.spawn_service("gateway", gateway.run(GRACE));
    let error = tree.run(GRACE).await.unwrap_err();
    assert_eq!(error.to_string(), "task gateway/http failed");
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_its_grace_and_then_kills() {
    let start = Instant::now();
    let mut tree = TaskTree::new(Shutdown::new());
    let slow = until_killed(&tree);
    tree.spawn_service("slow", slow);
    tree.shutdown().drain();
    assert!(tree.run(GRACE).await.is_ok());
    assert_eq!(start.elapsed(), GRACE.drain);
}

#[tokio::test(start_paused = true)]
async fn killing_does_not_wait_for_the_drain() {
    let start = Instant::now();
    let mut tree = TaskTree::new(Shutdown::new());
    let slow = until_killed(&tree);
    tree.spawn_service("slow", slow);
    let shutdown = tree.shutdown().clone();
    tree.spawn("second signal", async move {
        shutdown.drain();
        tokio::time::sleep(GRACE.drain / 2).await;
        shutdown.kill();
        Never::Ok(())
    });
    assert!(tree.run(GRACE).await.is_ok());
    assert_eq!(start.elapsed(), GRACE.drain / 2);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_is_aborted() {
    let start = Instant::now();
    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn_service("deaf", std::future::pending::<Never>());
    tree.shutdown().kill();
    assert!(tree.run(GRACE).await.is_ok());
    assert_eq!(start.elapsed(), GRACE.kill);
}

#[tokio::test]
async fn a_thread_is_a_task_like_others() {
    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn_thread("loop", || async { Err(io::Error::other("lost the store")) }).unwrap();
    let service = until_drained(&tree);
    tree.spawn_service("http", service);
    let error = tree.run(GRACE).await.unwrap_err();
    assert_eq!(error.to_string(), "task loop failed");
    assert_eq!(error.source().unwrap().to_string(), "lost the store");

    let mut tree = TaskTree::new(Shutdown::new());
    tree.spawn_thread("loop", || async {
        assert_eq!(1, 2, "torn");
        Never::Ok(())
    })
    .unwrap();
    let error = tree.run(GRACE).await.unwrap_err();
    assert!(error.to_string().starts_with("task loop panicked: "), "{error}");
}
