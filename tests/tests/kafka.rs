//! Each service in processes of its own, over Postgres, Kafka and Redis.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_tests::{Collector, Stage, eventually, suite_traces::traced_run};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;

aidt_tests::suite!(aidt_tests::Stage::kafka);

mod apart {
    aidt_tests::suite_apart!(aidt_tests::Stage::kafka);
}

mod traces {
    aidt_tests::suite_traces!(aidt_tests::Stage::kafka);
}

#[test]
fn messages_carry_the_place_of_their_sender_in_a_header() {
    let collector = Collector::start();
    let stage = Stage::kafka().seen_by(&collector, "grpc");
    let (_run, spans) = traced_run(&stage.up(), &collector);
    for (name, topic) in [("publish default", "steps.default"), ("publish finished", "commands")] {
        let sent: BTreeSet<String> = spans.iter().filter(|s| s.name == name).map(|s| s.traceparent()).collect();
        assert_eq!(sent.len(), 3, "{name}: {spans:#?}");
        let consumer = from_the_beginning(&stage, &format!("{}.{topic}", stage.setting("AIDT_PREFIX")));
        let mut seen = BTreeSet::new();
        eventually(&format!("each {name} is in {topic}"), Duration::from_secs(30), || {
            let message = consumer.poll(Duration::from_millis(100));
            // A topic is unknown to a consumer at first.
            if let Some(Ok(message)) = message
                && let Some(headers) = message.headers()
            {
                let headers = headers.iter().filter(|header| header.key == "traceparent");
                seen.extend(headers.filter_map(|header| String::from_utf8(header.value?.to_vec()).ok()));
            }
            sent.is_subset(&seen)
        });
    }
}

/// Reads all partitions of a topic, in no group.
fn from_the_beginning(stage: &Stage, topic: &str) -> BaseConsumer {
    let address = stage.setting("AIDT_QUEUE_URL").replace("kafka://", "");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", topic).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}
