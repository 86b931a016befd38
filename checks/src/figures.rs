//! What a benchmark makes of its measurements: medians and percentiles, and how they are written.

use std::time::Duration;

/// The value that so large a share of all is not above; zero when there is none.
#[must_use]
pub fn percentile<T: Copy + PartialOrd + Default>(values: &[T], share: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list of some thousands"
    )]
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// The value in the middle.
#[must_use]
pub fn median<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    percentile(values, 0.5)
}

/// In milliseconds.
#[must_use]
pub fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// In kilobytes.
#[must_use]
pub fn kilobytes(bytes: f64) -> String {
    format!("{:.1} kB", bytes / 1e3)
}

/// In megabytes.
#[expect(clippy::cast_precision_loss, reason = "megabytes with one digit")]
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// How busy the machine is beside what is measured: the load of the last minute, five and fifteen.
#[must_use]
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_whatever_order() {
        assert_eq!(median(&[3, 1, 2]), 2);
        assert_eq!(percentile(&[4, 1, 3, 2, 5], 1.0), 5);
        assert_eq!(median::<u8>(&[]), 0);
    }
}
