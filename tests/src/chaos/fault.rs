//! The faults, in one table. Each is ended by [`Stand::restore`].

use super::process::Build;
use super::process::Service::{All, Gateway, Owner, StepConsumer, ToolWorker};
use super::proxy::Traffic::{Cut, Silent};
use super::stack::Party::{Lock, Queue, Store};
use super::stack::Stack;
use super::stand::Stand;
use std::time::Duration;

/// Something that goes wrong.
pub(super) struct Fault {
    /// On the command line and in tables.
    pub(super) name: &'static str,
    stacks: &'static [Stack],
    /// Begins it.
    pub(super) inject: fn(&mut Stand),
    /// Until it ends, in seconds.
    lasts: u64,
    /// From when on runs must go on.
    pub(super) since: Since,
    /// Within so many seconds.
    within: u64,
    /// In the short form for CI, on these stacks.
    short: &'static [Stack],
    /// What it needs besides.
    pub(super) needs: Needs,
    /// Nobody is taken by surprise: nothing may be in doubt.
    pub(super) is_announced: bool,
}

/// What not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A disk that can be filled.
    Disk,
    /// A build of an earlier commit.
    Previous,
}

/// The moment from which recovery is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// There is another to go on: the fault itself.
    Begin,
    /// Nothing can go on before the fault has ended.
    End,
}

const RABBITMQ: &[Stack] = &[Stack::Rabbitmq];
const KAFKA: &[Stack] = &[Stack::Kafka];
const SERVERS: &[Stack] = &[Stack::Rabbitmq, Stack::Kafka];
const EMBEDDED: &[Stack] = &[Stack::Embedded];
const NONE: &[Stack] = &[];

/// Killed: within 5 s others go on.
const KILLED: u64 = 5;
/// Frozen, or cut off: within 15 s.
const LOST: u64 = 15;
/// A worker that was lost may come back with its results within 10 s (docs/reference/worker-protocol.md); only
/// then is what it ran given to others.
const WORKER: u64 = 15;
/// A server is back: the slowest of those that try again must have tried.
const BACK: u64 = 15;

use Since::{Begin, End};

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    of("kill-owner",             SERVERS,  |s| s.kill(Owner),                          8, Begin, KILLED, RABBITMQ),
    of("kill-step-consumer",     SERVERS,  |s| s.kill(StepConsumer),                   8, Begin, KILLED, SERVERS),
    of("kill-worker",            SERVERS,  |s| s.kill(ToolWorker),                    12, Begin, WORKER, NONE),
    of("kill-gateway",           SERVERS,  |s| s.kill(Gateway),                        8, Begin, KILLED, NONE),
    of("kill-everything",        EMBEDDED, |s| s.kill(All),                            2, End,   KILLED, EMBEDDED),
    of("freeze-owner",           SERVERS,  |s| s.freeze(Owner),                       18, Begin, LOST,   RABBITMQ),
    of("freeze-step-consumer",   SERVERS,  |s| s.freeze(StepConsumer),                18, Begin, LOST,   NONE),
    of("freeze-worker",          SERVERS,  |s| s.freeze(ToolWorker),                  18, Begin, LOST,   NONE),
    of("freeze-gateway",         SERVERS,  |s| s.freeze(Gateway),                     12, Begin, LOST,   NONE),
    of("freeze-everything",      EMBEDDED, |s| s.freeze(All),                         12, End,   LOST,   NONE),
    of("cut-owner",              SERVERS,  |s| s.set_traffic(Owner, Cut),             12, Begin, LOST,   NONE),
    of("cut-step-consumer",      SERVERS,  |s| s.set_traffic(StepConsumer, Cut),      12, Begin, LOST,   NONE),
    of("cut-gateway",            SERVERS,  |s| s.set_traffic(Gateway, Cut),           12, Begin, LOST,   NONE),
    of("cut-worker",             SERVERS,  |s| s.set_traffic(ToolWorker, Cut),         5, Begin, WORKER, NONE),
    of("silence-owner",          SERVERS,  |s| s.set_traffic(Owner, Silent),          18, Begin, LOST,   NONE),
    of("silence-step-consumer",  SERVERS,  |s| s.set_traffic(StepConsumer, Silent),   18, Begin, LOST,   RABBITMQ),
    of("silence-gateway",        SERVERS,  |s| s.set_traffic(Gateway, Silent),        12, Begin, LOST,   NONE),
    of("silence-worker",         SERVERS,  |s| s.set_traffic(ToolWorker, Silent),     18, Begin, LOST,   NONE),
    of("restart-broker",         SERVERS,  |s| s.server(Queue).restart().unwrap(),     0, End,   BACK,   KAFKA),
    of("freeze-broker",          SERVERS,  |s| s.server(Queue).freeze().unwrap(),     12, End,   BACK,   NONE),
    of("wipe-broker",            SERVERS,  |s| s.server(Queue).wipe().unwrap(),        0, End,   BACK,   SERVERS),
    of("empty-broker",           SERVERS,  |s| s.server(Queue).empty().unwrap(),       0, End,   BACK,   NONE),
    of("flush-redis",            SERVERS,  |s| s.server(Lock).empty().unwrap(),        3, Begin, KILLED, RABBITMQ),
    of("stop-redis",             SERVERS,  |s| assert!(s.server(Lock).stop().unwrap()), 12, Begin, KILLED, NONE),
    of("freeze-redis",           SERVERS,  |s| s.server(Lock).freeze().unwrap(),      12, Begin, KILLED, NONE),
    of("restart-postgres",       SERVERS,  |s| s.server(Store).restart().unwrap(),     0, End,   BACK,   RABBITMQ),
    of("kill-postgres",          SERVERS,  |s| s.server(Store).kill().unwrap(),        8, End,   BACK,   NONE),
    of("freeze-postgres",        SERVERS,  |s| s.server(Store).freeze().unwrap(),     12, End,   BACK,   NONE),
    of("clock-of-owner",         SERVERS,  |s| s.set_clock_ahead(Owner),              10, Begin, KILLED, NONE),
    of("clock-of-step-consumer", SERVERS,  |s| s.set_clock_ahead(StepConsumer),       10, Begin, KILLED, NONE),
    of("clock-of-worker",        SERVERS,  |s| s.set_clock_ahead(ToolWorker),         12, Begin, WORKER, NONE),
    of("clock-of-gateway",       SERVERS,  |s| s.set_clock_ahead(Gateway),            10, Begin, KILLED, NONE),
    of("roll",                   SERVERS,  |s| s.roll(Build::This),                    0, Begin, KILLED, RABBITMQ).announced(),
    of("roll",                   EMBEDDED, |s| s.roll(Build::This),                    0, End,   KILLED, NONE).announced(),
    // The previous build's worker may end without its results.
    of("upgrade",                SERVERS,  |s| s.roll(Build::Previous),                4, Begin, WORKER, SERVERS).with_previous(),
    of("upgrade",                EMBEDDED, |s| s.roll(Build::Previous),                4, End,   KILLED, EMBEDDED).with_previous(),
    of("fill-disk",              SERVERS,  |s| s.disk().fill(),                       12, End,   BACK,   NONE).on_disk(),
    of("fill-disk",              EMBEDDED, |s| s.disk().fill(),                        8, End,   KILLED, EMBEDDED).on_disk(),
];

const fn of(
    name: &'static str,
    stacks: &'static [Stack],
    inject: fn(&mut Stand),
    lasts: u64,
    since: Since,
    within: u64,
    short: &'static [Stack],
) -> Fault {
    Fault { name, stacks, inject, lasts, since, within, short, needs: Needs::Nothing, is_announced: false }
}

impl Fault {
    const fn on_disk(mut self) -> Self {
        self.needs = Needs::Disk;
        self
    }

    /// What is restarted becomes the previous build, and this one again at the end.
    const fn with_previous(mut self) -> Self {
        self.needs = Needs::Previous;
        self
    }

    const fn announced(mut self) -> Self {
        self.is_announced = true;
        self
    }

    /// Those of a stack.
    #[must_use]
    pub(super) fn of(stack: Stack) -> Vec<&'static Self> {
        FAULTS.iter().filter(|fault| fault.stacks.contains(&stack)).collect()
    }

    /// Whether CI meets it on this stack.
    #[must_use]
    pub(super) fn is_short(&self, stack: Stack) -> bool {
        self.short.contains(&stack)
    }

    /// From its begin to its end.
    #[must_use]
    pub(super) fn lasts(&self) -> Duration {
        Duration::from_secs(self.lasts)
    }

    /// No run may wait longer.
    #[must_use]
    pub(super) fn within(&self) -> Duration {
        Duration::from_secs(self.within)
    }
}
