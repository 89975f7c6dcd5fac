//! What every queue must do.

use crate::broker::fresh;

aidt_queue::queue_conformance!(
    #[tokio::test]
    fresh()
);
