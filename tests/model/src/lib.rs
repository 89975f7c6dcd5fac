//! The durable loop as a model, checked exhaustively for small bounds.

#![forbid(unsafe_code)]
