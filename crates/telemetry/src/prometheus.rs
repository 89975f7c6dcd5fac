//! The metrics as text, in the exposition format of Prometheus (0.0.4): names and units as OpenTelemetry's
//! rules for it say.

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

/// All metrics of this process, for `GET /metrics` with the content type `text/plain; version=0.0.4`. Empty
/// before telemetry was started.
#[must_use]
pub fn metrics_text() -> String {
    crate::telemetry::collect().map(|metrics| write_all(&metrics)).unwrap_or_default()
}

fn write_all(metrics: &ResourceMetrics) -> String {
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
        let (name, text) = family(metric);
        families.entry(name).or_insert(text);
    }
    let mut out = String::from("# HELP target_info What this process is.\n# TYPE target_info gauge\n");
    let resource: Vec<KeyValue> =
        metrics.resource().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    line(&mut out, "target_info", resource.iter(), None, 1);
    families.values().for_each(|text| out.push_str(text));
    out
}

fn family(metric: &Metric) -> (String, String) {
    match metric.data() {
        AggregatedMetrics::F64(data) => written(metric, data),
        AggregatedMetrics::U64(data) => written(metric, data),
        AggregatedMetrics::I64(data) => written(metric, data),
    }
}

fn written<T: Copy + Display>(metric: &Metric, data: &MetricData<T>) -> (String, String) {
    let mut name = plain(metric.name());
    if metric.unit() == "s" {
        name.push_str("_seconds");
    }
    let kind = match data {
        MetricData::Sum(sum) if sum.is_monotonic() => {
            name.push_str("_total");
            "counter"
        }
        MetricData::Sum(_) | MetricData::Gauge(_) => "gauge",
        MetricData::Histogram(_) => "histogram",
        // No view asks for one.
        MetricData::ExponentialHistogram(_) => "untyped",
    };
    let help = metric.description().replace('\\', "\\\\").replace('\n', "\\n");
    let mut out = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    match data {
        MetricData::Gauge(gauge) => {
            gauge.data_points().for_each(|p| line(&mut out, &name, p.attributes(), None, p.value()));
        }
        MetricData::Sum(sum) => {
            sum.data_points().for_each(|p| line(&mut out, &name, p.attributes(), None, p.value()));
        }
        MetricData::Histogram(histogram) => {
            for point in histogram.data_points() {
                let bucket = format!("{name}_bucket");
                let mut below = 0;
                let bounds = point.bounds().map(|bound| bound.to_string()).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(point.bucket_counts()) {
                    below += count;
                    line(&mut out, &bucket, point.attributes(), Some(&bound), below);
                }
                line(&mut out, &format!("{name}_sum"), point.attributes(), None, point.sum());
                line(&mut out, &format!("{name}_count"), point.attributes(), None, point.count());
            }
        }
        MetricData::ExponentialHistogram(_) => {}
    }
    (name, out)
}

fn line<'a>(
    out: &mut String,
    name: &str,
    attributes: impl Iterator<Item = &'a KeyValue>,
    bound: Option<&str>,
    value: impl Display,
) {
    let attributes = attributes.map(|kv| (plain(kv.key.as_str()), escaped(&kv.value.as_str())));
    let labels: BTreeMap<String, String> =
        attributes.chain(bound.map(|bound| ("le".to_owned(), bound.to_owned()))).collect();
    out.push_str(name);
    if !labels.is_empty() {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let _ = write!(out, "{{{}}}", labels.join(","));
    }
    let _ = writeln!(out, " {value}");
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
