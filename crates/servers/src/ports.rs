//! Ports of loopback that nobody uses.

use crate::{Error, Kind, Result};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Below the range from which the kernel takes ports for outgoing connections: there, a client that keeps
/// trying a stopped server can be given that very port, and then holds it.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;
/// More than any server needs.
const BLOCK: u16 = 4;

/// As many free ports as the server needs. The search begins where the name of its folder says, so that
/// instances which choose at the same time do not meet.
pub(crate) fn choose(kind: Kind, folder: &Path, not: &[u16]) -> Result<Vec<u16>> {
    let blocks = (LAST - FIRST + 1) / BLOCK;
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let begin = (hasher.finish() % u64::from(blocks)) as u16;
    (0..blocks)
        .map(|n| FIRST + (begin + n) % blocks * BLOCK)
        .map(|first| (first..).take(kind.ports()).collect::<Vec<u16>>())
        .find(|ports| ports.iter().all(|port| is_free(*port) && !not.contains(port)))
        .ok_or(Error::NoPorts { first: FIRST, last: LAST })
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let folder = Path::new("/a/folder");
        let free = choose(Kind::Kafka, folder, &[]).unwrap();
        assert_eq!(free.len(), 2);
        assert_ne!(choose(Kind::Kafka, folder, &free[1..]).unwrap(), free, "a port that is excluded");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free[1])).unwrap();
        let others = choose(Kind::Kafka, folder, &[]).unwrap();
        assert!(!others.contains(&taken.local_addr().unwrap().port()));
    }
}
