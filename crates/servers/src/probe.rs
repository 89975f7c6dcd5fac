//! Whether a server really answers: a short talk in its own protocol, without a client library.

mod amqp;
mod topics;

use crate::Kind;
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long one question may take. A busy machine may need seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any of these answers has.
const LONGEST: u32 = 1 << 20;

/// Asks the server at this port of loopback. Gives its version, where its answer holds one.
pub(crate) fn ask(kind: Kind, port: u16) -> io::Result<Option<String>> {
    let mut stream = connect(port)?;
    match kind {
        Kind::Postgres => postgres(&mut stream),
        Kind::Redis => redis(&mut stream),
        Kind::RabbitMq => amqp::ask(&mut stream),
        Kind::Kafka => kafka(&mut stream),
    }
}

/// Deletes every key of Redis.
pub(crate) fn flush_redis(port: u16) -> io::Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(b"FLUSHALL\r\nQUIT\r\n")?;
    let mut text = String::new();
    stream.take(u64::from(LONGEST)).read_to_string(&mut text)?;
    if text.starts_with("+OK\r\n") { Ok(()) } else { Err(unexpected(text)) }
}

/// Deletes every topic of Kafka but its own.
pub(crate) fn delete_topics(port: u16) -> io::Result<()> {
    topics::delete_all(&mut connect(port)?)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn unexpected(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    if length > LONGEST {
        return Err(unexpected(format!("an answer of {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u32(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Logs in and runs a statement: while it recovers, the server takes connections and refuses logins.
fn postgres(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut login = vec![0, 3, 0, 0];
    login.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    stream.write_all(&(login.len() as u32 + 4).to_be_bytes())?;
    stream.write_all(&login)?;
    let version = postgres_until_ready(stream)?;
    stream.write_all(b"Q\0\0\0\x0dselect 1\0")?;
    postgres_until_ready(stream)?;
    stream.write_all(b"X\0\0\0\x04")?;
    Ok(version)
}

/// Reads until the server waits for a statement. Gives the version, if it told it on the way.
fn postgres_until_ready(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut version = None;
    loop {
        let mut tag = [0];
        stream.read_exact(&mut tag)?;
        let length = read_u32(stream)?;
        let body = read(stream, length.saturating_sub(4))?;
        match tag[0] {
            b'Z' => return Ok(version),
            b'S' => {
                let text = String::from_utf8_lossy(&body);
                if let Some(value) = text.strip_prefix("server_version\0") {
                    version = value.split([' ', '\0']).next().map(str::to_owned);
                }
            }
            b'E' => {
                let text = String::from_utf8_lossy(&body);
                let reason = text.split('\0').find_map(|field| field.strip_prefix('M'));
                return Err(unexpected(reason.unwrap_or("an error without a message")));
            }
            _ => {}
        }
    }
}

fn redis(stream: &mut TcpStream) -> io::Result<Option<String>> {
    // While it loads its data it answers INFO, but not PING.
    stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n")?;
    let mut text = String::new();
    stream.take(u64::from(LONGEST)).read_to_string(&mut text)?;
    if !text.starts_with("+PONG\r\n") {
        return Err(unexpected(text.lines().next().unwrap_or("no answer")));
    }
    Ok(text.lines().find_map(|line| line.strip_prefix("redis_version:")).map(str::to_owned))
}

/// `ApiVersions`, version 0. A broker tells there what it can, not what it is called.
fn kafka(stream: &mut TcpStream) -> io::Result<Option<String>> {
    // Size, key 18, version 0, correlation 1, no client id.
    stream.write_all(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff")?;
    let length = read_u32(stream)?;
    let answer = read(stream, length)?;
    match answer.get(..6) {
        Some([0, 0, 0, 1, 0, 0]) => Ok(None),
        Some(head) => Err(unexpected(format!("error {}", i16::from_be_bytes([head[4], head[5]])))),
        None => Err(unexpected("a short answer")),
    }
}
