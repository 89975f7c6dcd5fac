//! `aidt runs watch`.

use super::conclude::conclude;
use super::{Context, Done};
use crate::args::WatchArgs;
use crate::watch::{OnInterrupt, Watch};

pub(crate) async fn watch(args: WatchArgs, context: &mut Context<'_>) -> Done {
    let session = context.session();
    let watch = Watch { run: args.run, on_interrupt: OnInterrupt::Leave, interrupted: false, timeout: args.timeout };
    conclude(watch, args.output.into(), &session, context).await
}
