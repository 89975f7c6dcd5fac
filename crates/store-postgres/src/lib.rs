//! The store on Postgres.

#![forbid(unsafe_code)]
