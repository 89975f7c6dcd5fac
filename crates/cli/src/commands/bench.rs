//! `aidt bench`.

use super::{Done, Reading};
use crate::args::{BenchArgs, Output};
use crate::error::CliError;
use crate::exit::Exit;
use aidt_domain::ErrorCode;

pub(crate) async fn bench(args: &BenchArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let told = |line: &str| terminal.note(line);
    let report = aidt_bench::measure(args.workload, reading.host.bed(), &told).await.map_err(|error| {
        CliError::new(ErrorCode::Internal, error.to_string())
            .caused_by(std::error::Error::source(&error))
            .help("`aidt run` of a small plan shows whether anything runs at all")
    })?;
    match args.output {
        Output::Json => terminal.print(serde_json::to_string(&report).expect("a report has string keys"))?,
        Output::Text => terminal.print(report)?,
    }
    Ok(Exit::DONE)
}
