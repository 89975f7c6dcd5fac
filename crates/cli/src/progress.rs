//! A run as it happens, one line for each change.

use crate::step_text::StepTexts;
use crate::terminal::{Style, Terminal, visible};
use crate::time::{between, human, millis};
use aidt_client::{Event, StepOutput, Update};
use aidt_domain::{Decision, Failure, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// Columns that a step's name takes at least.
const NAME: usize = 12;

/// What is known of the run from its events, and the lines that tell of it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    started_at: Option<String>,
    steps: BTreeMap<String, StepSeen>,
    texts: StepTexts,
    last_commit: Option<Commit>,
}

#[derive(Debug, Default)]
struct StepSeen {
    tool: String,
    dispatched_at: String,
    unknown: bool,
}

/// A commit that a step made in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) paths: Vec<String>,
}

/// What a line is about.
struct Line {
    style: Style,
    glyph: &'static str,
    text: String,
}

fn line(style: Style, glyph: &'static str, text: impl Into<String>) -> Line {
    Line { style, glyph, text: text.into() }
}

impl Progress {
    /// The last commit that a step made.
    pub(crate) fn last_commit(&self) -> Option<&Commit> {
        self.last_commit.as_ref()
    }

    /// Steps whose outcome nobody knows.
    pub(crate) fn unknown(&self) -> Vec<&str> {
        self.steps.iter().filter(|(_, seen)| seen.unknown).map(|(path, _)| path.as_str()).collect()
    }

    /// From the run's first event to this one.
    pub(crate) fn elapsed(&self, event: &Event) -> Option<Duration> {
        between(self.started_at.as_deref()?, &event.at)
    }

    /// Takes in what happened, and writes the lines about it to standard error.
    pub(crate) fn show(&mut self, update: &Update, terminal: &Terminal) {
        match update {
            Update::Event(event) => self.show_event(event, terminal),
            Update::Output(StepOutput { step, dispatch, offset, text }) => {
                let lines = self.texts.add(step.as_str(), *dispatch, *offset, text);
                print_text(step.as_str(), &lines, terminal);
            }
        }
    }

    fn show_event(&mut self, event: &Event, terminal: &Terminal) {
        let path = event.step.as_ref().map_or("", |step| step.as_str());
        let dispatch = event.dispatch.unwrap_or_default();
        if event.kind == "step_progress" {
            let offset = event.field("offset").unwrap_or(0);
            print_text(path, &self.texts.add(path, dispatch, offset, &event.text("text")), terminal);
            return;
        }
        let log = event.text("log");
        if !log.is_empty() {
            print_text(path, &self.texts.add(path, dispatch, 0, &log), terminal);
        }
        if ends_dispatch(&event.kind) {
            print_text(path, &self.texts.end(path), terminal);
        }
        if let Some(Line { style, glyph, text }) = self.line_of(event) {
            let clock = self.elapsed(event).map(clock).unwrap_or_default();
            let (clock, glyph) = (terminal.paint(Style::Faint, format!("{clock:>8}")), terminal.paint(style, glyph));
            let name = if path.is_empty() { String::new() } else { format!("{path:NAME$}  ") };
            terminal.note(format!("{clock} {glyph} {name}{}", visible(&text)).trim_end());
        }
    }

    fn line_of(&mut self, event: &Event) -> Option<Line> {
        match event.kind.as_str() {
            "run_started" => {
                self.started_at.get_or_insert_with(|| event.at.clone());
                Some(line(Style::Strong, "●", format!("{} started", event.text("plan"))))
            }
            "run_cancelling" => {
                let reason = event.text("reason");
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                Some(line(Style::Warn, "■", format!("cancelling, asked by {}{why}", event.text("by"))))
            }
            "run_reopened" => {
                let steps: Vec<String> = event.field("steps").unwrap_or_default();
                Some(line(Style::Strong, "●", format!("reopened by {}: {}", event.text("by"), steps.join(", "))))
            }
            "command_refused" => {
                let text = format!("{} refused: {}", event.text("command"), event.text("message"));
                Some(line(Style::Warn, "!", text))
            }
            // What the run came to is told by the end of the command.
            "run_done" | "run_failed" | "run_cancelled" => None,
            _ if event.step.is_some() => self.line_of_step(event),
            other => Some(line(Style::Faint, "·", other)),
        }
    }

    fn line_of_step(&mut self, event: &Event) -> Option<Line> {
        let seen = self.steps.entry(event.step.as_ref()?.as_str().to_owned()).or_default();
        seen.unknown = event.kind == "step_unknown";
        Some(match event.kind.as_str() {
            "step_dispatched" => {
                seen.tool = event.text("tool");
                seen.dispatched_at.clone_from(&event.at);
                line(Style::Faint, "▸", format!("{}{}", seen.tool, try_number(event)))
            }
            "step_started" => line(Style::Faint, "▶", "running"),
            "step_finished" => {
                let took = between(&seen.dispatched_at, &event.at).map(human).unwrap_or_default();
                let mut text = format!("{}  {took}", seen.tool);
                if let Some(commit) = commit_of(event) {
                    text.push_str(&format!("  commit {}: {}", short(&commit.id), commit.paths.join(", ")));
                    self.last_commit = Some(commit);
                }
                line(Style::Good, "✓", text)
            }
            "step_failed" => line(Style::Bad, "✗", failure(event)),
            "step_retrying" => line(Style::Warn, "↻", format!("{}; again {}", failure(event), when(event))),
            "step_requeued" => line(Style::Warn, "⇄", format!("handed out again: {}", event.text("reason"))),
            "step_skipped" => line(Style::Faint, "–", format!("skipped: {}", event.text("reason"))),
            "step_denied" => line(Style::Bad, "⊘", denial(event)),
            "step_unknown" => {
                line(Style::Warn, "?", format!("it is not known whether it happened: {}", failure(event)))
            }
            "step_resolved" => {
                line(Style::Strong, "!", format!("resolved as {} by {}", event.text("resolve"), event.text("by")))
            }
            "step_cancelled" => line(Style::Warn, "■", "cancelled"),
            other => line(Style::Faint, "·", other),
        })
    }
}

fn ends_dispatch(kind: &str) -> bool {
    matches!(
        kind,
        "step_finished" | "step_failed" | "step_retrying" | "step_requeued" | "step_unknown" | "step_cancelled"
    )
}

fn print_text(path: &str, lines: &[String], terminal: &Terminal) {
    for line in lines {
        let bar = terminal.paint(Style::Faint, format!("{:>8}   {path:NAME$}  │", ""));
        terminal.note(format!("{bar} {}", visible(line)));
    }
}

fn clock(elapsed: Duration) -> String {
    let s = elapsed.as_secs();
    match s {
        0..60 => format!("{:.2} s", elapsed.as_secs_f64()),
        _ => format!("{}:{:02} min", s / 60, s % 60),
    }
}

fn try_number(event: &Event) -> String {
    match event.attempt {
        Some(attempt) if attempt.0 > 1 => format!("  attempt {attempt}"),
        _ => String::new(),
    }
}

fn commit_of(event: &Event) -> Option<Commit> {
    let (id, paths): (String, Vec<String>) = (event.field("commit")?, event.field("paths")?);
    (!paths.is_empty()).then_some(Commit { id, paths })
}

/// A commit as people write it.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

fn failure(event: &Event) -> String {
    event.error().map_or_else(|| "failed".to_owned(), |Failure { code, message, .. }| format!("{code}: {message}"))
}

fn when(event: &Event) -> String {
    let wait =
        event.field::<Timestamp>("until").zip(millis(&event.at)).map(|(until, at)| until.0.saturating_sub(at).max(0));
    match wait.and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) => format!("in {}", human(Duration::from_millis(ms))),
        None => "later".to_owned(),
    }
}

fn denial(event: &Event) -> String {
    match event.field::<Decision>("decision") {
        Some(decision) if !decision.reasons.is_empty() => {
            format!("{} denied: {}", decision.capability, decision.reasons.join("; "))
        }
        Some(decision) => format!("{} denied", decision.capability),
        None => "denied".to_owned(),
    }
}
