//! `aidt bench`.

use super::{Done, Reading};
use crate::args::{BenchArgs, Output};
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::BenchOn;
use crate::terminal::Terminal;
use aidt_bench::{BenchError, Workload};
use aidt_domain::ErrorCode;
use serde::Serialize;

pub(crate) async fn bench(args: &BenchArgs, reading: &Reading<'_>) -> Done {
    let terminal = reading.terminal;
    let told = |line: &str| terminal.note(line);
    let BenchArgs { workload, database, queue, lock, replicas, output } = args;
    let (database, queue, lock) = (database.clone(), queue.clone(), lock.clone());
    let bed = reading.host.bed(&BenchOn { database, queue, lock, replicas: *replicas })?;
    match workload {
        Workload::Queued => show(aidt_bench::queued(&*bed, &told).await, *output, terminal),
        Workload::W1 | Workload::W3 => show(aidt_bench::measure(*workload, &*bed, &told).await, *output, terminal),
    }
}

fn show<R: Serialize + std::fmt::Display>(report: Result<R, BenchError>, output: Output, terminal: &Terminal) -> Done {
    let report = report.map_err(|error| {
        CliError::new(ErrorCode::Internal, error.to_string())
            .caused_by(std::error::Error::source(&error))
            .help("`aidt run` of a small plan shows whether anything runs at all")
    })?;
    match output {
        Output::Json => terminal.print(serde_json::to_string(&report).expect("a report has string keys"))?,
        Output::Text => terminal.print(report)?,
    }
    Ok(Exit::DONE)
}
