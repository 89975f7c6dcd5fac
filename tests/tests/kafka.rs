//! Each service in processes of its own, over Postgres, Kafka and Redis.

aidt_tests::suite!(aidt_tests::Stage::kafka);

mod apart {
    aidt_tests::suite_apart!(aidt_tests::Stage::kafka);
}
