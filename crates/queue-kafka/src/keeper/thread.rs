//! The thread that looks.

use super::{Ask, Life, PAUSE, PoolTopic, ROUNDS, Shared, TRIM, locked};
use crate::error::Error;
use crate::options::Options;
use crate::topics::{Found, Topics, Use, fresh_marker, next_marker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use tokio::time::Instant;

/// All that it knows.
pub(super) struct Thread {
    topics: Topics,
    options: Options,
    shared: Arc<Shared>,
    cluster: String,
    commands: String,
    /// Known topics of pools and their markers; `None`: to be learnt at the next look.
    pools: BTreeMap<String, Option<i64>>,
    /// The life seen last.
    life: Option<i64>,
    /// The life in which the topic of commands was seen to have its partitions, and leaders for them.
    whole: Option<i64>,
    /// Markers of the pools' topics that were seen to have leaders.
    led: BTreeMap<String, i64>,
    /// Messages were lost in the life seen last, and it is to be seen that there is another.
    lost: bool,
    looked: Instant,
    trimmed: Instant,
}

impl Thread {
    pub(super) fn begin(options: Options, shared: Arc<Shared>) -> Result<Self, Error> {
        let topics = Topics::connect(&options)?;
        let cluster = topics.cluster()?;
        let pools = topics.list(&options.steps_prefix())?.into_iter().map(|topic| (topic, None)).collect();
        Ok(Self {
            topics,
            commands: options.commands_topic(),
            options,
            shared,
            cluster,
            pools,
            life: None,
            whole: None,
            led: BTreeMap::new(),
            lost: false,
            looked: Instant::now(),
            trimmed: Instant::now(),
        })
    }

    pub(super) fn serve(&mut self, asked: &Receiver<Ask>) {
        loop {
            let wait = self.options.look_every.saturating_sub(self.looked.elapsed());
            match asked.recv_timeout(wait) {
                Ok(Ask::Life(answer)) => {
                    let _ = answer.send(self.look_and_tell());
                }
                Ok(Ask::Pool(topic, answer)) => {
                    let _ = answer.send(self.pool(&topic));
                }
                Ok(Ask::Lost) => {
                    self.lost = true;
                    let _ = self.look_and_tell();
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.look_and_tell();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks, tells the streams of topics that are others now, and keeps the answer.
    pub(super) fn look_and_tell(&mut self) -> Result<Life, Error> {
        let found = self.look();
        self.looked = Instant::now();
        let seen = match &found {
            Ok(life) => Ok(life.clone()),
            Err(error) => Err(format!("the topics cannot be looked at: {error}")),
        };
        let before = std::mem::replace(&mut *locked(&self.shared.seen), seen.clone());
        match (&before, &seen) {
            (Ok(old), Ok(new)) if old != new => tracing::warn!(%old, %new, "the queue has begun another life"),
            (Ok(_), Err(why)) => tracing::warn!("{why}"),
            (Err(_), Ok(life)) => tracing::debug!(%life, "the topics are there"),
            _ => {}
        }
        if found.is_ok() {
            for desk in self.shared.desks() {
                let origin = desk.origin();
                let now = if origin.topic == self.commands {
                    self.life
                } else {
                    self.pools.get(&origin.topic).copied().flatten()
                };
                if now.is_some_and(|marker| marker != origin.marker) {
                    desk.gone(format!("the topic {} is another one", origin.topic));
                }
            }
            if self.trimmed.elapsed() >= self.options.look_every {
                self.trim();
            }
        }
        found
    }

    fn look(&mut self) -> Result<Life, Error> {
        for _ in 0..ROUNDS {
            if let Some(marker) = self.look_once()? {
                return Ok(Life { cluster: self.cluster.clone(), marker });
            }
            // The broker may answer for a moment as if nothing had been done.
            std::thread::park_timeout(PAUSE);
        }
        Err(Error::Gone(format!("the topics of {} keep changing, or may not be changed by us", self.options.prefix)))
    }

    /// The life, if all was as it should be; otherwise something was done about it, and it is to be seen.
    fn look_once(&mut self) -> Result<Option<i64>, Error> {
        let names: BTreeSet<String> = self.pools.keys().cloned().chain([self.commands.clone()]).collect();
        let found = self.topics.describe(&names)?;
        let commands = found.get(&self.commands).unwrap_or(&Found::Missing);
        let life = match commands {
            Found::Missing => {
                self.topics.create(&self.commands, Use::Commands)?;
                return Ok(None);
            }
            Found::Unmarked(_) => {
                self.topics.mark(&self.commands, Use::Commands, commands, fresh_marker())?;
                return Ok(None);
            }
            Found::Marked(life, _) => *life,
        };
        self.look_at_pools(&found)?;
        if self.lost && self.life == Some(life) {
            // The same number from all who notice the same loss.
            self.topics.mark(&self.commands, Use::Commands, commands, next_marker(life))?;
            return Ok(None);
        }
        self.lost = false;
        if self.whole != Some(life) {
            if !self.is_whole()? {
                return Ok(None);
            }
            self.whole = Some(life);
        }
        self.life = Some(life);
        Ok(Some(life))
    }

    fn look_at_pools(&mut self, found: &BTreeMap<String, Found>) -> Result<(), Error> {
        for (topic, known) in &mut self.pools {
            let now = found.get(topic).unwrap_or(&Found::Missing);
            let was_known = known.is_some();
            match now {
                Found::Marked(marker, _) => {
                    self.lost |= known.is_some_and(|k| k != *marker);
                    *known = Some(*marker);
                }
                Found::Missing => {
                    // Not missing if it cannot be made: the broker asked may not have heard of it yet.
                    if let Some(marker) = self.topics.create(topic, Use::Steps)? {
                        self.lost |= was_known;
                        *known = Some(marker);
                    }
                }
                Found::Unmarked(_) => {
                    self.lost |= was_known;
                    *known = None;
                    self.topics.mark(topic, Use::Steps, now, fresh_marker())?;
                }
            }
        }
        Ok(())
    }

    /// The topic of commands has a partition for each of ours.
    fn is_whole(&self) -> Result<bool, Error> {
        let wanted = self.options.partitions;
        match self.topics.partitions(&self.commands)? {
            0 => Ok(false),
            found if found == usize::from(wanted) => Ok(self.topics.is_led(&self.commands, found)),
            found if found < usize::from(wanted) => {
                self.topics.grow(&self.commands, wanted)?;
                Ok(false)
            }
            found => Err(Error::Partitions { topic: self.commands.clone(), found, wanted }),
        }
    }

    fn pool(&mut self, topic: &str) -> Result<PoolTopic, Error> {
        self.pools.entry(topic.to_owned()).or_default();
        for _ in 0..ROUNDS {
            self.look_and_tell()?;
            let marker = self.pools.get(topic).copied().flatten();
            let partitions = self.topics.partitions(topic)?;
            if let (Some(marker), 1..) = (marker, partitions)
                && (self.led.get(topic) == Some(&marker) || self.topics.is_led(topic, partitions))
            {
                self.led.insert(topic.to_owned(), marker);
                return Ok(PoolTopic { marker, partitions: i32::try_from(partitions).unwrap_or(i32::MAX) });
            }
            std::thread::park_timeout(PAUSE);
        }
        Err(Error::Gone(format!("the topic {topic} does not come into being")))
    }

    /// Deletes commands that are done. The topic was just seen to be the one that they were read from.
    fn trim(&mut self) {
        self.trimmed = Instant::now();
        for desk in self.shared.desks() {
            let origin = desk.origin();
            if origin.topic != self.commands || Some(origin.marker) != self.life {
                continue;
            }
            let marks = desk.to_trim(TRIM);
            if marks.is_empty() {
                continue;
            }
            match self.topics.delete_below(&origin.topic, &marks) {
                Ok(()) => desk.trimmed(&marks),
                Err(error) => tracing::debug!(%error, "commands that are done stay for now"),
            }
        }
    }
}
