//! What a turn takes up: commands of the broker, inbox rows, due timers, and what the owner owes itself.

use crate::owner::Owner;
use crate::takeover::own_command;
use crate::turn::{Source, Turn, TurnFailed};
use aidt_domain::{Command, CommandBody, ErrorCode, Failure, PartitionId, RunId, Timestamp};
use aidt_queue::Delivery;
use aidt_store::{DeadLetter, InboxRow};
use bytes::Bytes;
use std::collections::BTreeMap;

impl Owner {
    /// Commands of the broker. What cannot be read becomes a dead letter; what is newer than this process
    /// stays where it is.
    pub(crate) fn decode(
        &mut self,
        deliveries: &[(PartitionId, Delivery)],
        turn: &mut Turn,
    ) -> Vec<(PartitionId, Command, Source)> {
        let mut commands = Vec::with_capacity(deliveries.len());
        for (partition, delivery) in deliveries {
            if !self.held.contains_key(partition) {
                continue;
            }
            let entries = match aidt_proto::decode_entries(delivery.body.clone()) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable(turn, *partition, delivery, delivery.body.clone(), &error, &mut commands);
                    if !error.is_newer_format() {
                        turn.acks.push((*partition, delivery.tag));
                    }
                    continue;
                }
            };
            let mut newer = false;
            for entry in entries {
                match aidt_proto::decode_command(&entry) {
                    Ok(command) => commands.push((*partition, command, Source::Broker(entry))),
                    Err(error) => {
                        newer |= error.is_newer_format();
                        self.unreadable(turn, *partition, delivery, entry, &error, &mut commands);
                    }
                }
            }
            if !newer {
                turn.acks.push((*partition, delivery.tag));
            }
        }
        commands
    }

    /// Keeps what cannot be read. The run that waits for it, if that can be told, ends with the reason.
    fn unreadable(
        &mut self,
        turn: &mut Turn,
        partition: PartitionId,
        delivery: &Delivery,
        bytes: Bytes,
        error: &aidt_proto::DecodeError,
        commands: &mut Vec<(PartitionId, Command, Source)>,
    ) {
        if error.is_newer_format() {
            tracing::warn!(%partition, %error, "left to a newer process");
            return;
        }
        let count = self.ports.store.run_log.partitions();
        let address = aidt_proto::command_address(&bytes).filter(|(_, run)| PartitionId::of(*run, count) == partition);
        let mut letter = dead_letter("commands", None, error.to_string(), bytes, turn.now);
        letter.headers.insert("partition".to_owned(), partition.to_string());
        if let Some(at) = delivery.published_at {
            letter.headers.insert("published_at".to_owned(), at.to_string());
        }
        if let Some((project, run)) = address {
            let what = format!("a result of this run cannot be read and became a dead letter: {error}");
            let end = CommandBody::Poisoned(Failure::fatal(ErrorCode::Internal, what));
            commands.push((partition, own_command(run, end), Source::Own));
            (letter.project, letter.run) = (Some(project), Some(run));
        }
        turn.letters.entry(partition).or_default().push(letter);
    }

    /// What nobody sends: inbox rows, due timers, and what the owner owes itself.
    pub(crate) async fn gather(&mut self, turn: &mut Turn) -> Result<Vec<(PartitionId, Command, Source)>, TurnFailed> {
        let limit = self.config.batch;
        let mut commands = Vec::new();
        let mut looked_into = Vec::new();
        let partitions: Vec<PartitionId> = self.held.keys().copied().collect();
        for (&run, _) in self.condemned.iter().filter(|(run, _)| !self.beyond_help.contains(run)) {
            // Nobody may ever send it anything again: it is ended all the same.
            let partition = PartitionId::of(run, self.ports.store.run_log.partitions());
            if !self.held.contains_key(&partition) {
                continue;
            }
            let poke = own_command(run, CommandBody::TimerDue { step: None });
            commands.push((partition, poke, Source::Own));
        }
        for partition in partitions {
            if self.held.get(&partition).is_some_and(|h| h.timers.is_behind(turn.now)) {
                let refilled = self.refill_timers(partition, turn.now).await;
                refilled.map_err(TurnFailed::at("reading timers"))?;
            }
            let Some(held) = self.held.get_mut(&partition) else { continue };
            for command in held.own.drain(..) {
                commands.push((partition, command, Source::Own));
            }
            let due = held.timers.take_due(turn.now, limit);
            for (run, step) in due {
                let command = own_command(run, CommandBody::TimerDue { step });
                commands.push((partition, command, Source::Timer(step)));
            }
            if std::mem::take(&mut held.look_into_inbox) {
                looked_into.push((partition, held.inbox_after));
            }
        }
        self.read_inboxes(turn, looked_into, &mut commands).await?;
        Ok(commands)
    }

    /// Reads these partitions' inboxes, each after its row: in one look, which may be a round trip.
    async fn read_inboxes(
        &mut self,
        turn: &mut Turn,
        asked: Vec<(PartitionId, u64)>,
        commands: &mut Vec<(PartitionId, Command, Source)>,
    ) -> Result<(), TurnFailed> {
        if asked.is_empty() {
            return Ok(());
        }
        let limit = u32::try_from(self.config.batch).unwrap_or(u32::MAX);
        let read = aidt_telemetry::timed("inbox", self.ports.store.inbox.inboxes(&asked, limit)).await;
        let read = read.map_err(TurnFailed::at("reading the inbox"))?;
        for ((partition, _), rows) in asked.into_iter().zip(read) {
            let (full, last) = (rows.len() as u32 == limit, rows.last().map(|r| r.seq));
            let left = self.decode_inbox(turn, partition, rows, commands);
            if let Some(held) = self.held.get_mut(&partition) {
                held.look_into_inbox = full;
                // What is left must not hide what comes after it.
                held.inbox_after = last.filter(|_| full && left).unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Answers whether nothing of it is for this process: all is left for a newer one.
    pub(crate) fn decode_inbox(
        &mut self,
        turn: &mut Turn,
        partition: PartitionId,
        rows: Vec<InboxRow>,
        commands: &mut Vec<(PartitionId, Command, Source)>,
    ) -> bool {
        let mut left = true;
        for row in rows {
            let decoded = aidt_proto::decode_command(&row.command);
            left &= decoded.as_ref().is_err_and(aidt_proto::DecodeError::is_newer_format);
            match decoded {
                Ok(command) => commands.push((partition, command, Source::Inbox(row.seq))),
                Err(error) if error.is_newer_format() => {
                    tracing::warn!(%partition, %error, "left in the inbox for a newer process");
                }
                Err(error) => {
                    let mut letter = dead_letter("inbox", Some(row.run), error.to_string(), row.command, turn.now);
                    letter.project = Some(row.project);
                    turn.letters.entry(partition).or_default().push(letter);
                    turn.inbox_done.entry(partition).or_default().push(row.seq);
                }
            }
        }
        left
    }
}

pub(crate) fn dead_letter(inlet: &str, run: Option<RunId>, reason: String, bytes: Bytes, at: Timestamp) -> DeadLetter {
    let headers = BTreeMap::new();
    DeadLetter { id: 0, inlet: inlet.to_owned(), project: None, run, reason, headers, bytes, at }
}
