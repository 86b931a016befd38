//! What Lambda's own line at the end of a log says of a run: how long it took, what is billed, how much memory it used.

use serde::Deserialize;

/// A run as Lambda measured it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) duration_ms: Option<f64>,
    pub(super) billed_ms: Option<u64>,
    pub(super) max_memory_mb: Option<u64>,
}

impl Measured {
    /// Reads the last report in the end of a log, in Lambda's text format or its JSON format (Lambda's guide: log
    /// formats, `platform.report`). The log is the function's to write, so this is as untrusted as the rest of it.
    pub(super) fn of(log: &str) -> Self {
        log.lines()
            .rev()
            .find_map(|line| of_text(line).or_else(|| of_json(line)))
            .unwrap_or_default()
    }
}

/// `REPORT RequestId: …\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB`
fn of_text(line: &str) -> Option<Measured> {
    let fields = line.trim().strip_prefix("REPORT RequestId: ")?;
    let mut measured = Measured::default();
    for field in fields.split('\t') {
        let Some((name, value)) = field.trim().split_once(": ") else {
            continue;
        };
        let number = value.split(' ').next().unwrap_or_default();
        match name {
            "Duration" => measured.duration_ms = number.parse().ok().filter(|ms: &f64| ms.is_finite()),
            "Billed Duration" => measured.billed_ms = number.parse().ok(),
            "Max Memory Used" => measured.max_memory_mb = number.parse().ok(),
            _ => {}
        }
    }
    Some(measured)
}

fn of_json(line: &str) -> Option<Measured> {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        record: Record,
    }
    #[derive(Deserialize)]
    struct Record {
        metrics: Metrics,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metrics {
        duration_ms: Option<f64>,
        billed_duration_ms: Option<f64>,
        #[serde(rename = "maxMemoryUsedMB")]
        max_memory_used_mb: Option<u64>,
    }
    let event: Event = serde_json::from_str(line.trim()).ok()?;
    let Metrics {
        duration_ms,
        billed_duration_ms,
        max_memory_used_mb,
    } = event.record.metrics;
    (event.r#type == "platform.report").then_some(Measured {
        duration_ms,
        billed_ms: billed_duration_ms.and_then(whole),
        max_memory_mb: max_memory_used_mb,
    })
}

/// Lambda bills whole milliseconds, also where it writes them as `13.0`.
fn whole(ms: f64) -> Option<u64> {
    format!("{ms:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "START RequestId: 1 Version: $LATEST\nEND RequestId: 1\n\
        REPORT RequestId: 1\tDuration: 12.34 ms\tBilled Duration: 213 ms\tMemory Size: 512 MB\tMax Memory Used: 70 MB\
        \tInit Duration: 200.1 ms\t\n";

    fn wanted() -> Measured {
        Measured {
            duration_ms: Some(12.34),
            billed_ms: Some(213),
            max_memory_mb: Some(70),
        }
    }

    #[test]
    fn both_formats_are_read() {
        assert_eq!(Measured::of(TEXT), wanted());
        let json = r#"{"time":"2026-11-22T12:00:00.000Z","type":"platform.start","record":{"requestId":"1"}}
{"time":"2026-11-22T12:00:00.000Z","type":"platform.report","record":{"requestId":"1","metrics":{"durationMs":12.34,"billedDurationMs":213,"memorySizeMB":512,"maxMemoryUsedMB":70,"initDurationMs":200.1},"status":"success"}}"#;
        assert_eq!(Measured::of(json), wanted());
    }

    #[test]
    fn the_last_report_counts() {
        let faked = format!("REPORT RequestId: 0\tDuration: 1.00 ms\tBilled Duration: 1 ms\n{TEXT}");
        assert_eq!(Measured::of(&faked), wanted());
    }

    #[test]
    fn what_is_absent_or_no_number_is_none() {
        for log in [
            "",
            "no report",
            "REPORT",
            "{\"type\":\"platform.report\"}",
            "REPORT RequestId: 1\tDuration: NaN ms",
        ] {
            assert_eq!(Measured::of(log), Measured::default(), "{log}");
        }
    }
}
