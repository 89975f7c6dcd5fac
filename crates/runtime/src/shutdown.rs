//! Being told to stop, in two stages.

use tokio_util::sync::CancellationToken;

/// Tells when to drain and when to stop at once. Clones are the same; children follow their parent and
/// can be told on their own.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// Nobody told anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Told whatever this one is told.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { soft: self.soft.child_token(), hard: self.hard.child_token() }
    }

    /// Take nothing new; finish or hand over what there is.
    pub fn drain(&self) {
        self.soft.cancel();
    }

    /// Stop at once. Draining, too: who only listens for that stops as well.
    pub fn kill(&self) {
        self.hard.cancel();
        self.soft.cancel();
    }

    /// The next stage: drains, or kills when already draining.
    pub fn escalate(&self) {
        if self.is_draining() { self.kill() } else { self.drain() }
    }

    /// Whether it is time to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether it is time to stop at once.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// Until it is time to drain. Cancel safe.
    pub async fn draining(&self) {
        self.soft.cancelled().await;
    }

    /// Until it is time to stop at once. Cancel safe.
    pub async fn killed(&self) {
        self.hard.cancelled().await;
    }

    /// The token of the first stage, for libraries that take one.
    #[must_use]
    pub fn drain_token(&self) -> CancellationToken {
        self.soft.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killing_drains_and_draining_does_not_kill() {
        let shutdown = Shutdown::new();
        shutdown.escalate();
        assert!(shutdown.is_draining() && !shutdown.is_killed());
        shutdown.escalate();
        assert!(shutdown.is_killed());
        let at_once = Shutdown::new();
        at_once.kill();
        assert!(at_once.is_draining());
    }

    #[test]
    fn children_follow_and_do_not_lead() {
        let parent = Shutdown::new();
        let (one, two) = (parent.child(), parent.child());
        one.kill();
        assert!(!parent.is_draining() && !two.is_draining());
        parent.drain();
        assert!(two.is_draining() && !two.is_killed());
        parent.kill();
        assert!(two.is_killed());
    }
}
