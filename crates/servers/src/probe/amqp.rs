//! The opening of an AMQP 0-9-1 connection as guest on the virtual host `/`, and its end.

use super::{read, read_u32, unexpected};
use std::io::{self, Read, Write as _};
use std::net::TcpStream;

const START: [u8; 4] = [0, 10, 0, 10];
const START_OK: [u8; 4] = [0, 10, 0, 11];
const TUNE: [u8; 4] = [0, 10, 0, 30];
const TUNE_OK: [u8; 4] = [0, 10, 0, 31];
const OPEN: [u8; 4] = [0, 10, 0, 40];
const OPEN_OK: [u8; 4] = [0, 10, 0, 41];
const CLOSE: [u8; 4] = [0, 10, 0, 50];
const CLOSE_OK: [u8; 4] = [0, 10, 0, 51];

pub(super) fn ask(stream: &mut TcpStream) -> io::Result<Option<String>> {
    stream.write_all(b"AMQP\0\0\x09\x01")?;
    let properties = expect(stream, START)?;
    // No properties of ours; PLAIN; a user and a password; a locale.
    send(stream, START_OK, b"\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US")?;
    let mut limits = expect(stream, TUNE)?;
    // As offered, without heartbeats.
    limits.truncate(6);
    limits.extend_from_slice(&[0, 0]);
    send(stream, TUNE_OK, &limits)?;
    send(stream, OPEN, b"\x01/\0\0")?;
    expect(stream, OPEN_OK)?;
    send(stream, CLOSE, &[0, 200, 0, 0, 0, 0, 0])?;
    expect(stream, CLOSE_OK)?;
    Ok(version(&properties))
}

/// A method's frame on channel 0.
fn send(stream: &mut TcpStream, method: [u8; 4], arguments: &[u8]) -> io::Result<()> {
    let mut frame = vec![1, 0, 0];
    frame.extend_from_slice(&(arguments.len() as u32 + 4).to_be_bytes());
    frame.extend_from_slice(&method);
    frame.extend_from_slice(arguments);
    frame.push(0xce);
    stream.write_all(&frame)
}

/// The arguments of the next method, which must be this one.
fn expect(stream: &mut TcpStream, method: [u8; 4]) -> io::Result<Vec<u8>> {
    let mut head = [0; 3];
    stream.read_exact(&mut head)?;
    let length = read_u32(stream)?;
    let mut payload = read(stream, length.saturating_add(1))?;
    payload.pop();
    match payload.strip_prefix(&method) {
        Some(arguments) => Ok(arguments.to_vec()),
        None if payload.starts_with(&CLOSE) => {
            Err(unexpected(format!("closed: {}", String::from_utf8_lossy(payload.get(7..).unwrap_or_default()))))
        }
        None => Err(unexpected(format!("method {:?} instead of {method:?}", payload.get(..4)))),
    }
}

/// The field `version` of the server's properties, a long string.
fn version(properties: &[u8]) -> Option<String> {
    let name = b"\x07versionS";
    let at = properties.windows(name.len()).position(|window| window == name)? + name.len();
    let length = u32::from_be_bytes(properties.get(at..at + 4)?.try_into().ok()?) as usize;
    Some(String::from_utf8_lossy(properties.get(at + 4..at + 4 + length)?).into_owned())
}
