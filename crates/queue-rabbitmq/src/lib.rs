//! The queue on RabbitMQ.

#![forbid(unsafe_code)]
