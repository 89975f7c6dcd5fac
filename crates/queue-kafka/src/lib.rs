//! The queue on Apache Kafka.

#![forbid(unsafe_code)]
