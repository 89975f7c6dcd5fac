//! What can happen to a process from outside: it is killed between any two awaits, or not run for a while.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
struct State {
    dead: bool,
    frozen: bool,
    /// The loops stand still, the heart beats.
    stalled: bool,
    /// Killed after this many more polls.
    polls_left: Option<u32>,
    wakers: Vec<Option<Waker>>,
}

/// The fate that all parts of a process share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate(Arc<Mutex<State>>);

impl Fate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state();
            change(&mut state);
            state.wakers.iter_mut().filter_map(Option::take).collect::<Vec<_>>()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn kill(&self) {
        self.change(|s| s.dead = true);
    }

    pub(crate) fn kill_after(&self, polls: u32) {
        self.state().polls_left = Some(polls);
    }

    pub(crate) fn spare(&self) {
        self.state().polls_left = None;
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.change(|s| s.frozen = frozen);
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.change(|s| s.stalled = stalled);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// A part of the process, under its fate. `beats`: it goes on while the rest is stalled.
    pub(crate) fn bind<F: Future>(&self, beats: bool, inner: F) -> Fated<F> {
        let mut state = self.state();
        state.wakers.push(None);
        Fated { fate: self.clone(), slot: state.wakers.len() - 1, beats, inner: Some(Box::pin(inner)) }
    }
}

/// Ends with `None` when its process is killed; what is inside is dropped there and then.
pub(crate) struct Fated<F> {
    fate: Fate,
    slot: usize,
    beats: bool,
    inner: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Fated<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = &mut *self;
        let dies = {
            let mut state = this.fate.state();
            state.wakers[this.slot] = Some(cx.waker().clone());
            let waits = state.frozen || (state.stalled && !this.beats);
            if !state.dead && waits {
                return Poll::Pending;
            }
            if let Some(left) = &mut state.polls_left {
                *left = left.saturating_sub(1);
                state.dead |= *left == 0;
            }
            state.dead
        };
        if dies {
            this.inner = None;
            this.fate.kill();
            return Poll::Ready(None);
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        inner.as_mut().poll(cx).map(Some)
    }
}
