//! Each service in processes of its own, over Postgres, RabbitMQ and Redis.

use aidt_tests::{Collector, Stage, suite_traces::traced_run};

aidt_tests::suite!(aidt_tests::Stage::rabbitmq);

mod apart {
    aidt_tests::suite_apart!(aidt_tests::Stage::rabbitmq);
}

mod traces {
    aidt_tests::suite_traces!(aidt_tests::Stage::rabbitmq);
}

/// As the bytes on the wire say: a string of 55 bytes in the table of headers. What a long step reports may
/// share a message, which then has no header; each command in it has its own place.
#[test]
fn messages_carry_the_place_of_their_sender_in_a_header() {
    let collector = Collector::start();
    let (stage, tap) = Stage::rabbitmq_tapped();
    let stage = stage.seen_by(&collector, "grpc");
    let (_run, spans) = traced_run(&stage.up(), &collector);
    let senders: Vec<_> = spans.iter().filter(|s| s.kind == "producer" && s.scope != "aidt-gateway").collect();
    let of = |name: &str| senders.iter().filter(|s| s.name == name).count();
    assert_eq!((of("publish default"), of("publish finished")), (3, 3));
    for sender in &senders {
        let place = sender.traceparent();
        assert!(tap.saw(place.as_bytes()), "no message carries {sender:#?}");
        let header = [b"\x0btraceparentS\0\0\0\x37", place.as_bytes()].concat();
        let may_share = sender.name != "publish default" && sender.attributes["aidt.step.path"] == "c";
        assert!(may_share || tap.saw(&header), "no header carries {sender:#?}");
    }
}
