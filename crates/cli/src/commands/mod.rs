//! The commands, one a file.

mod bench;
mod conclude;
mod dlq;
mod events;
mod logs;
mod plan_check;
mod run;
mod runs_change;
mod runs_explain;
mod runs_get;
mod runs_ls;
mod runs_watch;
mod serve;
mod tools_call;
mod tools_ls;

use crate::args::{Cli, Command, PlanCommand, RunsCommand, ToolsCommand};
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::{Embed, Host};
use crate::session::Session;
use crate::terminal::{Interrupts, Style, Terminal};
use aidt_client::Endpoint;
use std::time::Duration;

/// After how long a person is told why the command has not ended.
const SLOW_CLOSE: Duration = Duration::from_secs(1);

/// What every command works with.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) terminal: &'a Terminal,
    pub(crate) server: Option<Endpoint>,
    pub(crate) interrupts: Interrupts,
}

/// What a command comes to.
pub(crate) type Done = Result<Exit, CliError>;

/// Runs one command to its end, and gives the home back.
///
/// Never prints to standard output what is not the command's result. An [`Exit`] that is `at_once` wants
/// the process to end without dropping what the host embeds.
pub async fn run(cli: Cli, host: &dyn Host, terminal: &Terminal, interrupts: Interrupts) -> Exit {
    let server = cli.global.server;
    let mut context = Context { host, terminal, server, interrupts };
    let exit = match dispatch(cli.command, &mut context).await {
        Ok(exit) => exit,
        Err(error) if error.broken_pipe => Exit::DONE,
        Err(error) => {
            error.show(terminal);
            Exit::of_error(error.code)
        }
    };
    if exit.at_once {
        return exit;
    }
    give_back(&mut context, exit).await
}

/// Ends what the host embeds. That waits for calls in flight, for a while; an interruption does not.
async fn give_back(context: &mut Context<'_>, exit: Exit) -> Exit {
    let close = context.host.close();
    tokio::pin!(close);
    let slow = tokio::time::sleep(SLOW_CLOSE);
    tokio::pin!(slow);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            () = context.interrupts.next() => return Exit { at_once: true, ..exit },
            () = &mut close => return exit,
            () = &mut slow, if !told => {
                told = true;
                let text = "handing over the steps that this process runs; Ctrl-C ends it at once";
                context.terminal.note(context.terminal.paint(Style::Faint, text));
            }
        }
    }
}

async fn dispatch(command: Command, context: &mut Context<'_>) -> Done {
    match command {
        Command::Run(args) => run::run(args, context).await,
        Command::Serve(args) => serve::serve(args, context).await,
        Command::Runs(command) => runs(command, context).await,
        Command::Events(args) => context.interruptible(async |cx| events::events(args, cx).await).await,
        Command::Logs(args) => context.interruptible(async |cx| logs::logs(args, cx).await).await,
        Command::Plan(PlanCommand::Check(args)) => plan_check::check(&args, context),
        Command::Tools(ToolsCommand::Ls { output }) => {
            context.interruptible(async |cx| tools_ls::ls(output, cx).await).await
        }
        Command::Tools(ToolsCommand::Call(args)) => tools_call::call(args, context).await,
        Command::Dlq(command) => context.interruptible(async |cx| dlq::dlq(command, cx).await).await,
        Command::Bench(args) => context.interruptible(async |cx| bench::bench(&args, cx).await).await,
        Command::Version => {
            context.terminal.print(concat!("aidt ", env!("CARGO_PKG_VERSION")))?;
            Ok(Exit::DONE)
        }
    }
}

async fn runs(command: RunsCommand, context: &mut Context<'_>) -> Done {
    match command {
        RunsCommand::Ls(args) => context.interruptible(async |cx| runs_ls::ls(args, cx).await).await,
        RunsCommand::Get(args) => context.interruptible(async |cx| runs_get::get(args, cx).await).await,
        RunsCommand::Explain(args) => context.interruptible(async |cx| runs_explain::explain(args, cx).await).await,
        RunsCommand::Watch(args) => runs_watch::watch(args, context).await,
        RunsCommand::Cancel(args) => runs_change::cancel(args, context).await,
        RunsCommand::Retry(args) => runs_change::retry(args, context).await,
        RunsCommand::Resolve(args) => runs_change::resolve(args, context).await,
    }
}

impl<'a> Context<'a> {
    /// A session with the server of `--server`, or with whatever holds the home.
    pub(crate) fn session(&self) -> Session<'a> {
        self.session_with(Embed::default())
    }

    /// The same, embedding like this if it has to embed.
    pub(crate) fn session_with(&self, embed: Embed) -> Session<'a> {
        Session::new(self.host, self.terminal, Embed { server: self.server.clone(), ..embed })
    }

    /// Runs what may simply be left when it is interrupted.
    async fn interruptible(&mut self, command: impl AsyncFnOnce(&Reading<'a>) -> Done) -> Done {
        let reading = Reading { host: self.host, terminal: self.terminal, session: self.session() };
        tokio::select! {
            biased;
            () = self.interrupts.next() => {
                self.terminal.note(self.terminal.paint(Style::Warn, "interrupted"));
                Ok(Exit::CANCELLED)
            }
            done = command(&reading) => done,
        }
    }
}

/// What a command that changes nothing works with.
pub(crate) struct Reading<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) terminal: &'a Terminal,
    pub(crate) session: Session<'a>,
}
