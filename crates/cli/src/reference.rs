//! `docs/reference/cli.md`, from the command line itself.

use crate::args::Cli;
use crate::exit::Exit;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

/// What the binary reads itself; the options below name theirs.
const ENVIRONMENT: &str = "
## Environment

| variable | meaning |
|---|---|
| `AIDT_HOME` | the folder where state, workspaces and the socket live; `~/.aidt` by default |
| `AIDT_SERVER` | a server to use instead of the home, as `--server` |
| `AIDT_LOG` | what is logged to standard error, such as `info` or `warn,aidt_gateway=debug` |
| `NO_COLOR` | set to anything: no colours ([no-color.org](https://no-color.org)) |
";

/// The page of the reference, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Command line\n\nGenerated from the program itself; `aidt COMMAND --help` shows the same.\n\n\
         Results go to standard output, everything else to standard error.\n\n## Exit codes\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for (exit, meaning) in Exit::ALL {
        writeln!(out, "| {} | {meaning} |", exit.code).expect("writing to memory does not fail");
    }
    let mut root = Cli::command();
    root.build();
    out.push_str(ENVIRONMENT);
    out.push_str("\n## Options of every command\n\n");
    list(&mut out, root.get_arguments().filter(|a| a.is_global_set() && shown(a)));
    for command in root.get_subcommands().filter(|c| c.get_name() != "help") {
        section(&mut out, "aidt", command);
    }
    out
}

fn section(out: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let inner: Vec<&Command> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
    if inner.is_empty() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(out, "\n## `{name}`\n\n{}.\n\n", about.trim_end_matches('.')).expect("writing to memory does not fail");
        writeln!(out, "```text\n{}\n```\n", usage(&name, command)).expect("writing to memory does not fail");
        list(out, command.get_arguments().filter(|a| !a.is_global_set() && shown(a)));
    }
    for command in inner {
        section(out, &name, command);
    }
}

fn shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn usage(name: &str, command: &Command) -> String {
    let mut text = name.to_owned();
    if command.get_arguments().any(|a| !a.is_positional()) {
        text.push_str(" [OPTIONS]");
    }
    for arg in command.get_positionals() {
        let value = value_of(arg);
        text.push_str(&if arg.is_required_set() { format!(" {value}") } else { format!(" [{value}]") });
    }
    text
}

fn list<'a>(out: &mut String, args: impl Iterator<Item = &'a Arg>) {
    for arg in args {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let end = if help.ends_with(['.', '?', '!']) { "" } else { "." };
        write!(out, "- {}: {}{end}", name_of(arg), help.replace('\n', " ")).expect("writing to memory does not fail");
        for (label, value) in [("Default", default_of(arg)), ("Environment", environment_of(arg))] {
            if let Some(value) = value {
                write!(out, " {label}: `{value}`.").expect("writing to memory does not fail");
            }
        }
        let words: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|v| format!("`{}`", v.get_name()))
            .collect();
        if !words.is_empty() {
            write!(out, " One of {}.", words.join(", ")).expect("writing to memory does not fail");
        }
        out.push('\n');
    }
}

fn name_of(arg: &Arg) -> String {
    let names = [arg.get_short().map(|s| format!("-{s}")), arg.get_long().map(|l| format!("--{l}"))];
    let names: Vec<String> = names.into_iter().flatten().collect();
    match (names.is_empty(), arg.get_action().takes_values()) {
        (true, _) => format!("`{}`", value_of(arg)),
        (false, true) => format!("`{} {}`", names.join(", "), value_of(arg)),
        (false, false) => format!("`{}`", names.join(", ")),
    }
}

fn value_of(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string)
}

fn default_of(arg: &Arg) -> Option<String> {
    let default = arg.get_default_values().first()?.to_str()?;
    (arg.get_action().takes_values() && !default.is_empty()).then(|| default.to_owned())
}

fn environment_of(arg: &Arg) -> Option<String> {
    arg.get_env()?.to_str().map(str::to_owned)
}
