//! What every queue must do, on a real server.

mod support;

use support::fresh;

aidt_queue::queue_conformance!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    fresh()
);
