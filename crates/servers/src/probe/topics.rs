//! Kafka's topics: listed, and deleted.

use super::{read, read_u32, unexpected};
use std::io::{self, Write};
use std::net::TcpStream;

const METADATA: u16 = 3;
const DELETE_TOPICS: u16 = 20;
/// In ms, for the broker to do so.
const TIMEOUT: u32 = 10_000;

/// Deletes all of them but Kafka's own.
pub(super) fn delete_all(stream: &mut TcpStream) -> io::Result<()> {
    // Version 0; no names: all.
    let answer = ask(stream, METADATA, 0, &0_u32.to_be_bytes())?;
    let names = names(&mut &answer[..])?;
    let ours: Vec<_> = names.into_iter().filter(|name| !name.starts_with(b"__")).collect();
    let mut body = (ours.len() as u32).to_be_bytes().to_vec();
    for name in &ours {
        body.extend((name.len() as u16).to_be_bytes());
        body.extend(name);
    }
    body.extend(TIMEOUT.to_be_bytes());
    // Version 1; the time that it was throttled, then a code for each topic.
    let answer = ask(stream, DELETE_TOPICS, 1, &body)?;
    let mut rest = answer.get(4..).ok_or_else(|| unexpected("a short answer"))?;
    for _ in 0..read_u32(&mut rest)? {
        let name = string(&mut rest)?;
        let code = u16::from_be_bytes(read(&mut rest, 2)?.try_into().expect("2 bytes"));
        // 3: another has deleted it meanwhile.
        if code != 0 && code != 3 {
            return Err(unexpected(format!("error {code} for topic {}", String::from_utf8_lossy(&name))));
        }
    }
    Ok(())
}

/// One request, and the body of its answer.
fn ask(stream: &mut TcpStream, key: u16, version: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    // Correlation 1, no client id.
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), b"\0\0\0\x01\xff\xff"].concat();
    let size = (head.len() + body.len()) as u32;
    stream.write_all(&[&size.to_be_bytes()[..], &head, body].concat())?;
    let length = read_u32(stream)?;
    let answer = read(stream, length)?;
    answer.get(4..).map(<[u8]>::to_vec).ok_or_else(|| unexpected("a short answer"))
}

/// The names in an answer about metadata.
fn names(rest: &mut &[u8]) -> io::Result<Vec<Vec<u8>>> {
    // Brokers: id, host, port.
    for _ in 0..read_u32(rest)? {
        read(rest, 4)?;
        string(rest)?;
        read(rest, 4)?;
    }
    let mut names = Vec::new();
    for _ in 0..read_u32(rest)? {
        read(rest, 2)?;
        names.push(string(rest)?);
        // Partitions: error, number, leader, replicas, replicas in sync.
        for _ in 0..read_u32(rest)? {
            read(rest, 10)?;
            for _ in 0..2 {
                let count = read_u32(rest)?;
                read(rest, count.saturating_mul(4))?;
            }
        }
    }
    Ok(names)
}

fn string(rest: &mut &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::from_be_bytes(read(rest, 2)?.try_into().expect("2 bytes"));
    read(rest, length.into())
}
