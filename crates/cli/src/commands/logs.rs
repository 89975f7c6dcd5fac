//! `aidt logs`.

use super::{Done, Reading};
use crate::args::LogsArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::step_text::StepTexts;
use crate::terminal::visible;
use aidt_domain::{DispatchNo, RunId, Seq, StepPath};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn logs(args: LogsArgs, reading: &Reading<'_>) -> Done {
    let LogsArgs { run, step, follow } = args;
    let paths: Vec<StepPath> = match step {
        Some(step) => vec![step],
        None => {
            let steps = reading.session.call(async |client| client.steps(run).await).await?;
            steps.into_iter().map(|step| step.path).collect()
        }
    };
    let mut logs = Logs { run, prefixed: paths.len() > 1, reading, at: BTreeMap::new(), texts: StepTexts::default() };
    loop {
        // Asked first: what is printed until the end is there when it says that it has ended.
        let state = reading.session.call(async |client| client.run(run).await).await?.state;
        for path in &paths {
            logs.read_on(path).await?;
        }
        if !follow || state.is_terminal() {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    logs.short_ones(&paths).await?;
    Ok(Exit::DONE)
}

struct Logs<'a> {
    run: RunId,
    /// Lines say which step they are of.
    prefixed: bool,
    reading: &'a Reading<'a>,
    /// Where the next piece of a step may start.
    at: BTreeMap<StepPath, String>,
    texts: StepTexts,
}

impl Logs<'_> {
    /// Prints the pieces that have come since.
    async fn read_on(&mut self, path: &StepPath) -> Result<(), CliError> {
        loop {
            let after = self.at.get(path).cloned();
            let call = async |client: aidt_client::Client| client.logs_page(self.run, path, after.as_deref()).await;
            let page = self.reading.session.call(call).await?;
            let Some(last) = page.items.last() else { return Ok(()) };
            self.at.insert(path.clone(), format!("{}:{}", last.dispatch, last.offset + 1));
            for piece in &page.items {
                let lines = self.texts.add(path.as_str(), piece.dispatch, piece.offset, &piece.text);
                self.print(path, &lines)?;
            }
        }
    }

    /// Steps that were never claimed are too short for a log of their own: their events hold the text.
    async fn short_ones(&mut self, paths: &[StepPath]) -> Result<(), CliError> {
        let short: BTreeSet<&StepPath> = paths.iter().filter(|path| !self.at.contains_key(*path)).collect();
        let mut after = Seq(0);
        while !short.is_empty() {
            let call = async |client: aidt_client::Client| client.events_page(self.run, after, None).await;
            let page = self.reading.session.call(call).await?;
            for event in &page.items {
                after = event.seq;
                let (Some(path), log) = (&event.step, event.text("log")) else { continue };
                if short.contains(path) && !log.is_empty() {
                    let dispatch: DispatchNo = event.dispatch.unwrap_or_default();
                    let lines = self.texts.add(path.as_str(), dispatch, 0, &log);
                    self.print(path, &lines)?;
                }
            }
            if page.next.is_none() || page.items.is_empty() {
                break;
            }
        }
        for path in paths {
            let rest = self.texts.end(path.as_str());
            self.print(path, &rest)?;
        }
        Ok(())
    }

    fn print(&self, path: &StepPath, lines: &[String]) -> Result<(), CliError> {
        for line in lines {
            if self.prefixed {
                self.reading.terminal.print(format!("{path}: {}", visible(line)))?;
            } else {
                self.reading.terminal.print(visible(line))?;
            }
        }
        Ok(())
    }
}
