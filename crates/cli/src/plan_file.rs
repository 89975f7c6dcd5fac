//! A plan, as it lies in a file.

use crate::error::CliError;
use crate::terminal::Terminal;
use aidt_client::PlanSource;
use aidt_domain::ErrorCode;
use std::path::Path;

/// Reads a plan; `-` is standard input.
pub(crate) fn read_plan(path: &Path, terminal: &Terminal) -> Result<PlanSource, CliError> {
    let (name, text) = read_text(path, terminal)?;
    Ok(PlanSource { name, text })
}

/// Reads a file of text; `-` is standard input. Gives its name for messages with it.
pub(crate) fn read_text(path: &Path, terminal: &Terminal) -> Result<(String, String), CliError> {
    let (name, text) = if path == Path::new("-") {
        ("<stdin>".to_owned(), terminal.read_all())
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    let text = text.map_err(|e| {
        CliError::new(ErrorCode::InvalidArgument, format!("{name} cannot be read"))
            .caused(&e)
            .help("check the path, and that it is a text file that you may read")
    })?;
    Ok((name, text))
}
