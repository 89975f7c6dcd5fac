//! `debug.sleep`: takes time, shows how far it is, and stops when told to.

use super::{entry as new_entry, object, read};
use crate::{Tool, ToolContext, ToolOutput, failure};
use aidt_domain::{Effect, Failure, ToolEntry};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A week.
const MAX_MS: u64 = 7 * 24 * 60 * 60 * 1000;

#[derive(Debug)]
pub(super) struct Sleep;

#[derive(Deserialize)]
struct Args {
    ms: u64,
}

pub(super) fn entry() -> ToolEntry {
    let ms = json!({"type": "integer", "minimum": 0, "maximum": MAX_MS});
    ToolEntry {
        input_schema: object(json!({"ms": ms}), &["ms"]),
        output_schema: object(json!({"slept_ms": ms}), &["slept_ms"]),
        ..new_entry("debug.sleep", "debug.run", Effect::Read, "Takes `ms` milliseconds; can be cancelled.")
    }
}

#[async_trait]
impl Tool for Sleep {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { ms } = read(args)?;
        let start = Instant::now();
        let total = Duration::from_millis(ms);
        let beat = (total / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        let mut next = start;
        while next < start + total {
            next = (next + beat).min(start + total);
            tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => return Err(failure::cancelled()),
                () = sleep_until(next) => {}
            }
            let done = (next - start).as_secs_f64() / total.as_secs_f64();
            ctx.sink.progress(Some(done), "sleeping");
        }
        Ok(ToolOutput::new(json!({"slept_ms": ms})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::{call, call_with, context, context_with_sink};
    use aidt_domain::ErrorCode;

    #[tokio::test(start_paused = true)]
    async fn takes_the_time_and_gives_signs_of_life() {
        let (ctx, sink) = context_with_sink();
        let start = Instant::now();
        let output = call_with(Sleep, &ctx, json!({"ms": 5_000})).await.unwrap();
        assert_eq!(output.output, r#"{"slept_ms":5000}"#);
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(sink.progress(), 10);
        assert_eq!(call(Sleep, json!({"ms": 0})).await.unwrap(), json!({"slept_ms": 0}));
        assert!(call(Sleep, json!({"ms": -1})).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn stops_when_told() {
        let ctx = context();
        let cancel = ctx.cancel.clone();
        let (result, ()) = tokio::join!(call_with(Sleep, &ctx, json!({"ms": 60_000})), async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            cancel.cancel();
        });
        assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    }
}
