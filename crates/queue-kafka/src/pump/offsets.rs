//! Where partitions begin and end, and so where a stream may begin.

use super::Context;
use crate::error::Error;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often, and after which pause, an end below a cursor is looked at again: a new leader of a partition
/// tells an earlier one for a moment.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LEADERLESS: Duration = Duration::from_millis(20);

/// Partition, where to start, and where it ends, for each cursor.
pub(super) fn places(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    cursors: &[(i32, i64)],
    timeout: Duration,
) -> Result<Vec<(i32, i64, i64)>, Error> {
    let partitions: BTreeSet<i32> = cursors.iter().map(|(p, _)| *p).collect();
    let deadline = Instant::now() + timeout;
    let ask = |which| loop {
        match offsets(consumer, topic, &partitions, which, timeout) {
            // A topic that was made a moment ago has no leaders yet.
            Err(_) if Instant::now() < deadline => std::thread::park_timeout(LEADERLESS),
            found => return found,
        }
    };
    let missing = |partition: &i32| Error::Gone(format!("the topic {topic} has no partition {partition}"));
    let mut looks = 0;
    loop {
        let (lows, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
        let mut places = Vec::with_capacity(cursors.len());
        let mut beyond = None;
        for (partition, cursor) in cursors {
            let low = *lows.get(partition).ok_or_else(|| missing(partition))?;
            let end = *ends.get(partition).ok_or_else(|| missing(partition))?;
            if *cursor > end {
                beyond = Some(Error::Beyond { partition: *partition, cursor: *cursor, end });
            }
            places.push((*partition, low.max(*cursor), end));
        }
        looks += 1;
        match beyond {
            None => return Ok(places),
            Some(error) if looks == LOOKS => return Err(error),
            Some(_) => std::thread::park_timeout(LOOK_AGAIN),
        }
    }
}

/// The first or the last offsets of partitions, those that are known.
pub(super) fn offsets(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partitions: &BTreeSet<i32>,
    which: Offset,
    timeout: Duration,
) -> Result<BTreeMap<i32, i64>, Error> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, which).map_err(Error::kafka("name an offset"))?;
    }
    let found = consumer.offsets_for_times(list, timeout).map_err(Error::kafka("tell where partitions end"))?;
    let known = found.elements().into_iter().filter(|e| e.error().is_ok());
    Ok(known.filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect())
}

fn offset(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(at) => Some(at),
        _ => None,
    }
}
