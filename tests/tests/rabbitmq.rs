//! Each service in processes of its own, over Postgres, RabbitMQ and Redis.

aidt_tests::suite!(aidt_tests::Stage::rabbitmq);

mod apart {
    aidt_tests::suite_apart!(aidt_tests::Stage::rabbitmq);
}
