//! What a runtime offers beside a language: processors, snapshots; and which runtimes lie between two.

use jiff::civil::Date;

use super::{Phase, Table, language};

/// Runtimes from before Graviton came to Lambda, which AWS offers on x86_64 only (Lambda developer guide, "Selecting
/// and configuring an instruction set architecture": the images of these were never built for arm64). Of nodejs,
/// python and dotnetcore the last one is named; those before it are meant too.
const X86_ONLY_UP_TO: [(&str, &[u32]); 3] = [("nodejs", &[10]), ("python", &[3, 7]), ("dotnetcore", &[2, 1])];
/// The same where there is no order of numbers.
const X86_ONLY: [&str; 4] = ["ruby2.5", "java8", "go1.x", "provided"];

/// The first runtimes with SnapStart (Lambda developer guide, "Improving startup performance with Lambda SnapStart").
const SNAP_START_FROM: [(&str, &[u32]); 3] = [("java", &[11]), ("python", &[3, 12]), ("dotnet", &[8])];

/// True if functions on the runtime can run on `arm64`; on `x86_64` all can.
pub(crate) fn runs_on_arm(id: &str) -> bool {
    let old = X86_ONLY_UP_TO
        .iter()
        .any(|(of, last)| language(id) == *of && numbers(id).as_slice() <= *last);
    !old && !X86_ONLY.contains(&id)
}

/// True if AWS can keep snapshots of functions on the runtime (SnapStart).
pub(crate) fn snap_starts(id: &str) -> bool {
    SNAP_START_FROM
        .iter()
        .any(|(of, first)| language(id) == *of && numbers(id).as_slice() >= *first)
}

/// Runtimes of the same language between two that AWS patches on `today`, the newest first.
pub(crate) fn between(table: &Table, from: &str, to: &str, today: Date) -> Vec<String> {
    let (low, high) = (numbers(from), numbers(to));
    let mut found: Vec<(Vec<u32>, &str)> = table
        .runtimes
        .iter()
        .filter(|runtime| language(&runtime.id) == language(from) && language(from) == language(to))
        .filter(|runtime| runtime.phase(today) == Phase::Supported)
        .map(|runtime| (numbers(&runtime.id), runtime.id.as_str()))
        .filter(|(number, _)| low < *number && *number < high)
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, id)| id.to_owned()).collect()
}

/// The numbers of an identifier, in the order that makes a newer runtime the greater: `[3, 12]` of `python3.12`,
/// `[8, 2]` of `java8.al2`.
fn numbers(id: &str) -> Vec<u32> {
    id.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_runtimes_are_without_arm() {
        for old in [
            "nodejs10.x",
            "nodejs",
            "nodejs8.10",
            "python3.7",
            "python2.7",
            "ruby2.5",
            "java8",
            "go1.x",
            "dotnetcore2.1",
            "dotnetcore1.0",
            "provided",
        ] {
            assert!(!runs_on_arm(old), "{old}");
        }
        for new in [
            "nodejs12.x",
            "python3.8",
            "python3.14",
            "ruby2.7",
            "java8.al2",
            "java11",
            "dotnetcore3.1",
            "dotnet6",
            "provided.al2",
        ] {
            assert!(runs_on_arm(new), "{new}");
        }
    }

    #[test]
    fn snapshots_begin_at_one_runtime_of_three_languages() {
        for (id, can) in [
            ("java8.al2", false),
            ("java11", true),
            ("java25", true),
            ("python3.11", false),
            ("python3.12", true),
            ("dotnet6", false),
            ("dotnet10", true),
            ("dotnetcore3.1", false),
            ("nodejs24.x", false),
            ("provided.al2023", false),
        ] {
            assert_eq!(snap_starts(id), can, "{id}");
        }
    }

    #[test]
    fn what_lies_between_is_patched_of_the_same_language_and_newest_first() {
        let (table, day) = (Table::snapshot(), Table::snapshot().as_of);
        assert_eq!(
            between(table, "python3.9", "python3.14", day),
            ["python3.13", "python3.12", "python3.11", "python3.10"]
        );
        assert_eq!(between(table, "nodejs16.x", "nodejs24.x", day), ["nodejs22.x"]);
        assert_eq!(between(table, "nodejs22.x", "nodejs24.x", day), [""; 0]);
        assert_eq!(between(table, "nodejs16.x", "python3.14", day), [""; 0]);
    }
}
