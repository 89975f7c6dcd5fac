//! Which traces are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// As the parent says. A trace that continues another one (a root with a link) is recorded like it; only
/// recorded ones are ever linked. Others are drawn by the ratio.
#[derive(Clone, Debug)]
pub(crate) struct ParentOrRatio {
    pub(crate) ratio: f64,
}

impl ShouldSample for ParentOrRatio {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let known = parent.map(|context| context.span().span_context().clone()).filter(|c| c.is_valid());
        let sampled = match &known {
            Some(parent) => parent.is_sampled(),
            None if !links.is_empty() => true,
            None => {
                return Sampler::TraceIdRatioBased(self.ratio)
                    .should_sample(parent, trace, name, kind, attributes, links);
            }
        };
        let decision = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        let trace_state = known.map(|parent| parent.trace_state().clone()).unwrap_or_default();
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}
