//! Leases, token buckets and live fan-out on Redis.

#![forbid(unsafe_code)]
