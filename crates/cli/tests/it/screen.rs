//! What a command writes.

use aidt_cli::Terminal;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub(crate) struct Screen {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads.
pub(crate) struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    pub(crate) fn terminal(&self) -> Terminal {
        Terminal::of_streams(io::empty(), Sink(self.out.clone()), Sink(self.err.clone()))
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.err.lock().unwrap().clone()).unwrap()
    }

    /// The object in which standard output ends.
    pub(crate) fn last_object(&self) -> serde_json::Value {
        serde_json::from_str(self.out().lines().last().unwrap()).unwrap()
    }

    /// Both, for a golden file.
    pub(crate) fn both(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", self.out(), self.err())
    }
}
