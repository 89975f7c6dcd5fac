//! Why a command failed, and how that is shown.

use crate::diagnostics;
use crate::host::HostError;
use crate::terminal::{Style, Terminal, visible};
use aidt_client::{ClientError, Diagnostic, PlanSource};
use aidt_domain::ErrorCode;
use std::error::Error;
use std::io;

/// Why a command failed; behind a pointer, since it is rare and large.
#[derive(Debug)]
pub(crate) struct CliError(Box<Fault>);

/// What is in it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// What it follows from, the nearest first.
    pub(crate) causes: Vec<String>,
    pub(crate) help: String,
    /// Each place of a document that is at fault.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The document.
    pub(crate) source: Option<PlanSource>,
    /// Nobody reads the output any more: nothing to say.
    pub(crate) broken_pipe: bool,
}

impl std::ops::Deref for CliError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl std::ops::DerefMut for CliError {
    fn deref_mut(&mut self) -> &mut Fault {
        &mut self.0
    }
}

impl CliError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            code,
            message: message.into(),
            causes: Vec::new(),
            help: code.help().to_owned(),
            diagnostics: Vec::new(),
            source: None,
            broken_pipe: false,
        }))
    }

    pub(crate) fn caused(self, error: &dyn Error) -> Self {
        self.caused_by(Some(error))
    }

    pub(crate) fn caused_by(mut self, error: Option<&dyn Error>) -> Self {
        let fault = &mut *self.0;
        fault.causes = chain(error);
        fault.causes.retain(|cause| *cause != fault.message);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With the document that the diagnostics are about, to quote from.
    pub(crate) fn about(mut self, source: &PlanSource) -> Self {
        self.source = Some(source.clone());
        self
    }

    /// Writes it to standard error.
    pub(crate) fn show(&self, terminal: &Terminal) {
        if self.broken_pipe {
            return;
        }
        if !self.diagnostics.is_empty() {
            terminal.note(diagnostics::render(&self.diagnostics, self.source.as_ref(), terminal.colors()));
            terminal.note("");
        }
        let head = terminal.paint(Style::Bad, "error:");
        terminal.note(format!("{head} {}", visible(&self.message)));
        for cause in &self.causes {
            terminal.note(format!("  because: {}", visible(cause)));
        }
        if !self.help.is_empty() {
            terminal.note(format!("  help: {}", visible(&self.help)));
        }
    }
}

fn chain(mut error: Option<&dyn Error>) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    while let Some(cause) = error {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        error = cause.source();
    }
    causes
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let mut made = Self::new(error.code(), error.to_string()).caused_by(error.source());
        if let ClientError::Refused(problem) = error {
            if !problem.help.is_empty() {
                made.help = problem.help;
            }
            made.diagnostics = problem.errors;
        }
        made
    }
}

impl From<HostError> for CliError {
    fn from(error: HostError) -> Self {
        Self::new(error.code, error.message.clone()).caused_by(error.source())
    }
}

/// Of writing a result.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        let mut made = Self::new(ErrorCode::Internal, "the output cannot be written").caused(&error);
        made.broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        made.help("is the disk full?")
    }
}
