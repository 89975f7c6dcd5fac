//! Where a command reads and writes.

use crate::args::{ColorWhen, Global};
use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Standard streams, or what stands in for them in a test.
pub struct Terminal {
    input: Mutex<Box<dyn Read + Send>>,
    out: Stream,
    err: Stream,
}

struct Stream {
    sink: Mutex<Box<dyn Write + Send>>,
    colors: bool,
}

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Good,
    Bad,
    Warn,
    Strong,
    Faint,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31;1",
            Self::Warn => "33",
            Self::Strong => "1",
            Self::Faint => "2",
        }
    }
}

impl Terminal {
    /// The streams of this process.
    #[must_use]
    pub fn of_process(global: &Global) -> Self {
        let colors = |terminal: bool| match global.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && global.no_color.as_deref().is_none_or(str::is_empty),
        };
        Self {
            input: Mutex::new(Box::new(io::stdin())),
            out: Stream::new(io::stdout(), colors(io::stdout().is_terminal())),
            err: Stream::new(io::stderr(), colors(io::stderr().is_terminal())),
        }
    }

    /// Any streams, without colours.
    #[must_use]
    pub fn of_streams(
        input: impl Read + Send + 'static,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self { input: Mutex::new(Box::new(input)), out: Stream::new(out, false), err: Stream::new(err, false) }
    }

    /// A line of a result, to standard output.
    pub(crate) fn print(&self, line: impl Display) -> io::Result<()> {
        self.out.line(&line)
    }

    /// Bytes of a result, as they are, to standard output.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut sink = self.out.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(bytes)?;
        sink.flush()
    }

    /// A line of anything else, to standard error. That nobody reads it is no reason to stop.
    pub(crate) fn note(&self, line: impl Display) {
        drop(self.err.line(&line));
    }

    /// Whether standard error takes colours.
    pub(crate) fn colors(&self) -> bool {
        self.err.colors
    }

    /// All of standard input.
    pub(crate) fn read_all(&self) -> io::Result<String> {
        let mut text = String::new();
        self.input.lock().unwrap_or_else(PoisonError::into_inner).read_to_string(&mut text)?;
        Ok(text)
    }

    /// `text` as it is to be written to standard error.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        self.err.paint(style, &text)
    }

    /// `text` as it is to be written to standard output.
    pub(crate) fn paint_out(&self, style: Style, text: impl Display) -> String {
        self.out.paint(style, &text)
    }
}

impl Stream {
    fn new(sink: impl Write + Send + 'static, colors: bool) -> Self {
        Self { sink: Mutex::new(Box::new(sink)), colors }
    }

    fn line(&self, line: &dyn Display) -> io::Result<()> {
        // One write a line, so that lines of several processes do not mix.
        let text = format!("{line}\n");
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(text.as_bytes())?;
        sink.flush()
    }

    fn paint(&self, style: Style, text: &dyn Display) -> String {
        if self.colors { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_string() }
    }
}

/// Makes text from elsewhere safe to show: control characters but tabs would steer the terminal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Requests to stop, in the order in which they come: SIGINT and SIGTERM.
pub struct Interrupts(mpsc::Receiver<()>);

impl Interrupts {
    /// Those that `receiver` brings, such as a task that waits for the process's signals sends; none once
    /// its senders are gone.
    #[must_use]
    pub fn from_channel(receiver: mpsc::Receiver<()>) -> Self {
        Self(receiver)
    }

    /// Those that never come.
    #[must_use]
    pub fn none() -> Self {
        Self(mpsc::channel(1).1)
    }

    /// The next request. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\tc\r\n"), "a\u{fffd}[2Jb\tc\u{fffd}\n");
    }
}
