//! The metrics: the mount's figures in the text format of Prometheus (version 0.0.4).

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::super::{Fs, Result};
use crate::api::Figures;

/// All figures at one moment.
#[derive(Debug)]
struct Moment {
    endpoints: Vec<Figures>,
    counters: Vec<(&'static str, &'static str, u64)>,
    gauges: Vec<(&'static str, &'static str, u64)>,
    received: u64,
    sent: u64,
}

impl Fs {
    pub(super) fn metrics(&self) -> Result<String> {
        let mut registry = Registry::with_prefix("bedfs");
        registry.register_collector(Box::new(self.moment()?));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .expect("a string takes any text");
        Ok(plain(&text))
    }

    fn moment(&self) -> Result<Moment> {
        let status = self.status()?;
        let number = |field: &str| status[field].as_u64().unwrap_or_default();
        let (received, sent) = self.bed.bytes();
        let counts = &self.control;
        let mut gauges = vec![
            ("uptime_seconds", "Seconds since the mount began", number("uptime_seconds")),
            ("inodes", "Files and folders that are known", number("inodes")),
            ("handles", "Open files and folders", number("handles")),
            ("pending", "Uploads and deletes that are not finished", number("pending")),
            ("uploading", "Uploads under way", number("uploading")),
            ("failed", "Uploads that failed and wait for the user", number("failed")),
            ("staged_files", "Files that are staged on the local disk", number("staged")),
            ("staged_bytes", "Bytes of staged files", number("staged_bytes")),
            ("cache_bytes", "Bytes of pictures in the cache", number("cache_bytes")),
            ("cache_capacity_bytes", "Bytes the cache may hold", number("cache_capacity")),
        ];
        let account = [
            ("account_space_used_bytes", "Bytes the account stores", "space_used"),
            ("account_space_total_bytes", "Bytes the account may store", "space_total"),
            (
                "account_traffic_left_bytes",
                "Direct-link traffic the account has left",
                "traffic_left",
            ),
        ];
        // What the service has not told is no 0.
        let known = account.into_iter().filter_map(|(name, help, field)| {
            status[field].as_u64().map(|value| (name, help, value))
        });
        gauges.extend(known);
        Ok(Moment {
            endpoints: self.bed.figures(),
            counters: vec![
                ("lookups", "Look-ups of names", counts.lookups.load(Relaxed)),
                ("read_hits", "Reads answered from this machine", counts.hits.load(Relaxed)),
                ("read_misses", "Reads that waited for the service", counts.misses.load(Relaxed)),
            ],
            gauges,
            received,
            sent,
        })
    }
}

/// OpenMetrics in the older text format, which calls a counter by the name of its sample, and knows
/// neither units nor an end.
fn plain(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(&name) => {
                plain.push_str(&format!("# {kind} {name}_total {rest}\n"));
            }
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        type Count = fn(&Figures) -> u64;
        let by_endpoint: [(&str, &str, Count); 3] = [
            ("api_calls", "Requests sent to an endpoint", |figures| figures.calls),
            ("api_errors", "Requests that gave no success", |figures| figures.errors),
            ("api_throttled", "Requests that came too often (429)", |figures| figures.throttled),
        ];
        for (name, help, count) in by_endpoint {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for figures in &self.endpoints {
                let labels = [("endpoint", figures.endpoint)];
                ConstCounter::new(count(figures)).encode(family.encode_family(&labels)?)?;
            }
        }
        let unit = Some(&Unit::Seconds);
        let help = "Time from a request to its answer";
        let mut family =
            encoder.encode_descriptor("api_latency", help, unit, MetricType::Histogram)?;
        for figures in self.endpoints.iter().filter(|figures| figures.calls > 0) {
            let labels = [("endpoint", figures.endpoint)];
            figures.latency.encode(family.encode_family(&labels)?)?;
        }
        let unit = Some(&Unit::Bytes);
        let help = "Bytes of pictures received from direct links, and sent to storage";
        let mut family = encoder.encode_descriptor("transfer", help, unit, MetricType::Counter)?;
        for (direction, bytes) in [("received", self.received), ("sent", self.sent)] {
            let labels = [("direction", direction)];
            ConstCounter::new(bytes).encode(family.encode_family(&labels)?)?;
        }
        for (name, help, value) in &self.counters {
            let counter = ConstCounter::new(*value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, value) in &self.gauges {
            let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
