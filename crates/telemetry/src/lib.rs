//! Tracing, OTLP, metrics, W3C propagation.

#![forbid(unsafe_code)]
