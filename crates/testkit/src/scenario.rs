//! What people and fate do in a world, drawn beforehand.

use crate::chaos::{Port, Side};
use crate::plans::{self, Drawn};
use crate::rng::Rng;

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Submit(usize),
    /// Of the run of this number.
    Cancel(usize),
    /// A cancel, and in the same moment the broker loses everything.
    CancelAndWipe(usize),
    Retry(usize),
    Resolve(usize),
    PoisonCommand,
    PoisonStep,
    PoisonInbox,
    Kill(usize),
    KillAfter(usize, u32),
    KillAt(usize, Side, &'static str),
    Leave(usize, u64),
    Freeze(usize, u64),
    Stall(usize, u64),
    Drain(usize),
    Close(usize),
    Usurp,
    Wipe,
    Flush,
    Disconnect,
    Down(Port, u64),
    LoseWorkers(usize),
    ChangePolicy,
    Resize(usize, u32),
}

/// Moments at which a death hurts most.
const MOMENTS: &[(Side, &str)] = &[
    (Side::Before, "commit"),
    (Side::After, "commit"),
    (Side::Before, "publish_steps"),
    (Side::Before, "publish_steps"),
    (Side::After, "publish_steps"),
    (Side::Before, "publish_commands"),
    (Side::After, "publish_commands"),
    (Side::After, "claim"),
    (Side::Before, "ack_steps"),
    (Side::Before, "ack_commands"),
    (Side::After, "take"),
    (Side::After, "load"),
    (Side::Before, "append"),
    (Side::After, "append"),
    (Side::After, "ask_to_stop"),
];

/// One world's fate.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) rng: Rng,
    pub(crate) partitions: u16,
    pub(crate) hosts: usize,
    pub(crate) slots: u32,
    pub(crate) plans: Vec<Drawn>,
    /// By time, in milliseconds.
    pub(crate) actions: Vec<(u64, Action)>,
    pub(crate) lasts_ms: u64,
    pub(crate) is_large: bool,
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let is_large = rng.chance(30);
        let poison = rng.chance(80);
        let mut plans: Vec<Drawn> = Vec::new();
        let mut steps = 0;
        while steps < 22 || plans.len() < 3 {
            let plan = plans::small(&mut rng, poison && plans.is_empty());
            steps += plan.snapshot.steps.len();
            plans.push(plan);
        }
        if is_large {
            plans.push(plans::large(&mut rng));
        }
        let mut scenario = Self {
            partitions: u16::try_from(rng.between(1, 3)).expect("small"),
            hosts: usize::try_from(rng.between(1, 3)).expect("small"),
            slots: u32::try_from(rng.between(2, 8)).expect("small"),
            lasts_ms: rng.between(4_000, 16_000),
            plans,
            actions: Vec::new(),
            is_large,
            rng,
        };
        scenario.draw_commands();
        scenario.draw_faults();
        scenario.actions.sort_by_key(|(at, _)| *at);
        scenario
    }

    fn at(&mut self, from: u64, to: u64, action: Action) {
        let at = self.rng.between(from.min(self.lasts_ms), to.min(self.lasts_ms));
        self.actions.push((at, action));
    }

    fn draw_commands(&mut self) {
        let end = self.lasts_ms;
        for i in 0..self.plans.len() {
            let at = self.rng.below(end / 2);
            self.actions.push((at, Action::Submit(i)));
            let large = self.plans[i].snapshot.name == "large";
            if self.rng.chance(if large { 900 } else { 350 }) {
                let cancel = if self.rng.chance(200) { Action::CancelAndWipe(i) } else { Action::Cancel(i) };
                let soon = self.rng.below(3_000);
                self.actions.push((at + soon, cancel));
            }
            if !large && self.rng.chance(350) {
                self.at(at, end, Action::Retry(i));
            }
            for _ in 0..2 {
                self.at(at, end, Action::Resolve(i));
            }
        }
        if self.rng.chance(200) {
            self.at(0, end, Action::PoisonCommand);
            self.at(0, end, Action::PoisonStep);
            self.at(0, end, Action::PoisonInbox);
        }
    }

    fn draw_faults(&mut self) {
        let end = self.lasts_ms;
        for _ in 0..self.rng.between(1, 9) {
            let host = usize::try_from(self.rng.below(self.hosts as u64)).expect("small");
            let action = match self.rng.below(32) {
                0 => Action::Kill(host),
                1..=3 => Action::KillAfter(host, u32::try_from(self.rng.between(1, 400)).expect("small")),
                4..=9 => {
                    let (side, operation) = *self.rng.pick(MOMENTS);
                    Action::KillAt(host, side, operation)
                }
                10 => Action::Leave(host, self.rng.between(500, 9_000)),
                11..=13 => Action::Freeze(host, self.rng.between(50, 12_000)),
                14..=15 => Action::Stall(host, self.rng.between(50, 8_000)),
                16..=17 => Action::Drain(host),
                18 => Action::Close(host),
                19..=20 => Action::Usurp,
                21..=22 => Action::Wipe,
                23 => Action::Flush,
                24 => Action::Disconnect,
                25 => Action::Down(Port::Store, self.rng.between(50, 5_000)),
                26 => Action::Down(Port::Queue, self.rng.between(50, 5_000)),
                27 => Action::Down(Port::Locks, self.rng.between(50, 8_000)),
                28 => Action::LoseWorkers(host),
                29..=30 => Action::ChangePolicy,
                _ => Action::Resize(host, u32::try_from(self.rng.between(1, 8)).expect("small")),
            };
            self.at(100, end, action);
        }
    }
}
