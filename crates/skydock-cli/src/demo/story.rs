//! The story that the demo tells: the question, the answer, an upgrade that works and one that is put back.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::questions::{Function, Groups, Outcome, Questions, Runtime, Runtimes, Step, Upgrade};
use crate::screen::{self, BAD, FAINT, GOOD, STRONG};

/// The question of the talk.
const QUESTION: &str =
    "Which of our functions are on a Node.js runtime, grouped by version, and which of those are deprecated?";
/// The event that functions are tested with after an upgrade.
const EVENT: &str = r#"{"source":"skydock-demo"}"#;
/// A function of the embedded account that is known not to survive on Node.js 24, with every seed.
const FRAGILE: &str = "thumbnail-maker";
/// How much is shown of what a function answered to its test.
const OUTPUT_LINES: usize = 4;
/// How many upgrades to try at most to see both ends.
const TRIES: usize = 20;

/// Tells the story.
///
/// # Errors
/// When the server does not answer, or its account has nothing to show.
pub(super) async fn tell(out: &mut impl Write, questions: &Questions<'_>) -> Result<()> {
    writeln!(out, "{STRONG}Question{STRONG:#}")?;
    for line in screen::wrap(QUESTION, usize::from(screen::width()).saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    let runtimes = questions.runtimes().await?;
    let groups = questions.functions("nodejs").await?;
    questions.progress.clear();
    write_answer(out, &runtimes, &groups)?;
    let candidates = candidates(&runtimes.runtimes, &groups);
    let has_fragile = candidates.iter().any(|(function, _)| function.name == FRAGILE);
    let (mut updated, mut put_back, mut owned) = (false, false, false);
    for (function, to) in candidates {
        if updated && put_back {
            break;
        }
        // when one has worked, only one that breaks is wanted; the others are left alone
        if updated && has_fragile && function.name != FRAGILE {
            continue;
        }
        let upgrade = questions.upgrade(&function.name, &to, EVENT).await?;
        questions.progress.clear();
        if upgrade.outcome == Outcome::OwnedByTemplate {
            // half of the account is like that; one is enough to show
            if !std::mem::replace(&mut owned, true) {
                write_owned(out, &upgrade)?;
            }
            continue;
        }
        write_upgrade(out, &upgrade)?;
        updated |= upgrade.outcome == Outcome::Updated;
        put_back |= upgrade.outcome == Outcome::RolledBack;
    }
    ensure!(updated, "no function could be upgraded; try another --seed");
    ensure!(
        put_back,
        "no function failed its test on a newer runtime; try another --seed"
    );
    Ok(())
}

/// Functions on deprecated runtimes that can be moved, the oldest runtime first, the fragile one among the first.
fn candidates(runtimes: &[Runtime], groups: &Groups) -> Vec<(Function, String)> {
    let mut candidates = Vec::new();
    for ((_, id), functions) in groups {
        let runtime = runtimes
            .iter()
            .find(|runtime| runtime.id == *id && runtime.can_be_left());
        if let Some(to) = runtime.and_then(|runtime| runtime.successor.clone()) {
            candidates.extend(functions.iter().map(|function| (function.clone(), to.clone())));
        }
    }
    // stable: the rest stays in its order
    candidates.sort_by_key(|(function, _)| function.name == FRAGILE);
    let fragile = candidates.pop_if(|(function, _)| function.name == FRAGILE);
    candidates.truncate(TRIES.saturating_sub(1));
    candidates.extend(fragile);
    candidates
}

fn write_answer(out: &mut impl Write, runtimes: &Runtimes, groups: &Groups) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(screen::width());
    table.set_header(["Runtime", "Functions", "Deprecated", "Successor"]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let (mut all, mut late) = (0, 0);
    for ((_, id), functions) in groups {
        let runtime = runtimes.runtimes.iter().find(|runtime| runtime.id == *id);
        all += functions.len();
        if runtime.is_some_and(Runtime::is_deprecated) {
            late += functions.len();
        }
        let successor = runtime.and_then(|runtime| runtime.successor.clone());
        table.add_row([
            id.clone(),
            functions.len().to_string(),
            runtime.map_or_else(|| "not known".to_owned(), deprecation),
            successor.unwrap_or_else(|| "–".to_owned()),
        ]);
    }
    writeln!(out, "\n{STRONG}Answer{STRONG:#}")?;
    for line in table.lines() {
        writeln!(out, "{line}")?;
    }
    let colour = if late > 0 { BAD } else { GOOD };
    writeln!(
        out,
        "{colour}{late} of {all}{colour:#} Node.js functions are on deprecated runtimes."
    )?;
    let Runtimes {
        source, as_of, today, ..
    } = runtimes;
    writeln!(
        out,
        "{FAINT}Dates: {source} of {as_of}; days counted from {today}.{FAINT:#}"
    )
}

fn deprecation(runtime: &Runtime) -> String {
    match (&runtime.deprecation_date, runtime.days_left) {
        (Some(date), Some(days)) if days < 0 => {
            format!("since {date} ({} days ago)", days.unsigned_abs())
        }
        (Some(date), Some(days)) => format!("on {date} ({days} days left)"),
        (Some(date), None) => date.clone(),
        (None, _) => "not scheduled".to_owned(),
    }
}

fn write_upgrade(out: &mut impl Write, upgrade: &Upgrade) -> io::Result<()> {
    let Upgrade {
        function_name,
        from,
        to,
        outcome,
        steps,
        question,
        patch: _,
    } = upgrade;
    writeln!(out, "\n{STRONG}Upgrade {function_name}: {from} → {to}{STRONG:#}")?;
    let width = usize::from(screen::width());
    if let Some(question) = question {
        writeln!(
            out,
            "  {FAINT}the server asks, and the demo answers yes:{FAINT:#}"
        )?;
        for line in question
            .lines()
            .flat_map(|line| screen::wrap(line, width.saturating_sub(4)))
        {
            writeln!(out, "    {FAINT}{line}{FAINT:#}")?;
        }
    }
    write_steps(out, steps)?;
    let reason = steps
        .iter()
        .find(|step| step.status == "failed")
        .map(|step| step.step.as_str());
    let reason = reason.unwrap_or("upgrade");
    match outcome {
        Outcome::Updated => writeln!(out, "  {GOOD}updated{GOOD:#}: {function_name} runs on {to}"),
        Outcome::RolledBack => {
            writeln!(
                out,
                "  {BAD}rolled back{BAD:#}: the {reason} failed, so {function_name} is on {from} again"
            )
        }
        Outcome::RollbackFailed => {
            writeln!(
                out,
                "  {BAD}rollback failed{BAD:#}: somebody has to look at {function_name}"
            )
        }
        Outcome::Unchanged | Outcome::Planned | Outcome::Declined | Outcome::OwnedByTemplate => {
            writeln!(out, "  unchanged: {function_name} stays on {from}")
        }
        Outcome::LeftToUser | Outcome::Open => {
            writeln!(
                out,
                "  {BAD}not finished{BAD:#}: somebody has to look at {function_name}"
            )
        }
    }
}

fn write_steps(out: &mut impl Write, steps: &[Step]) -> io::Result<()> {
    let room = usize::from(screen::width()).saturating_sub(20);
    for Step {
        step,
        status,
        detail,
        output,
    } in steps
    {
        let colour = match status.as_str() {
            "done" => GOOD,
            "failed" => BAD,
            _ => FAINT,
        };
        let mut lines = screen::wrap(detail, room).into_iter();
        writeln!(
            out,
            "  {step:<9}{colour}{status:<8}{colour:#} {}",
            lines.next().unwrap_or_default()
        )?;
        for line in lines {
            writeln!(out, "{:20}{line}", "")?;
        }
        if status == "failed"
            && let Some(output) = output
        {
            for line in screen::wrap(output, room).into_iter().take(OUTPUT_LINES) {
                writeln!(out, "{:20}{FAINT}{line}{FAINT:#}", "")?;
            }
        }
    }
    Ok(())
}

/// A function that is not touched, because its template is what to change.
fn write_owned(out: &mut impl Write, upgrade: &Upgrade) -> io::Result<()> {
    let Upgrade {
        function_name,
        from,
        to,
        patch,
        ..
    } = upgrade;
    writeln!(out, "\n{STRONG}Upgrade {function_name}: {from} → {to}{STRONG:#}")?;
    writeln!(
        out,
        "  not touched: a template owns it, and that is what to change"
    )?;
    let Some(patch) = patch else { return Ok(()) };
    let room = usize::from(screen::width()).saturating_sub(4);
    for line in screen::wrap(&patch.file, room) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    for line in patch.diff.lines() {
        let colour = match line.chars().next() {
            Some('+') => GOOD,
            Some('-') => BAD,
            _ => FAINT,
        };
        writeln!(out, "    {colour}{line}{colour:#}")?;
    }
    for line in screen::wrap(&format!("then: {}", patch.deploy), room) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(id: &str, status: &str, successor: Option<&str>) -> Runtime {
        Runtime {
            id: id.into(),
            deprecation_date: None,
            status: status.into(),
            days_left: None,
            successor: successor.map(str::to_owned),
        }
    }

    fn group(id: &str, names: &[&str]) -> Vec<Function> {
        names
            .iter()
            .map(|name| Function {
                name: (*name).into(),
                runtime: Some(id.into()),
            })
            .collect()
    }

    #[test]
    fn only_functions_that_can_be_moved_and_moved_back_are_tried() {
        let runtimes = [
            runtime("nodejs12.x", "blocked-update", Some("nodejs24.x")),
            runtime("nodejs18.x", "blocked-create", Some("nodejs24.x")),
            runtime("nodejs22.x", "supported", Some("nodejs24.x")),
        ];
        let groups = Groups::from([
            ((12, "nodejs12.x".into()), group("nodejs12.x", &["stuck"])),
            (
                (18, "nodejs18.x".into()),
                group("nodejs18.x", &[FRAGILE, "old-api"]),
            ),
            ((22, "nodejs22.x".into()), group("nodejs22.x", &["fine"])),
        ]);
        let names: Vec<_> = candidates(&runtimes, &groups)
            .into_iter()
            .map(|(f, to)| (f.name, to))
            .collect();
        let to = || "nodejs24.x".to_owned();
        assert_eq!(names, [("old-api".to_owned(), to()), (FRAGILE.to_owned(), to())]);
    }

    #[test]
    fn dates_are_told_with_their_distance() {
        let mut late = runtime("nodejs18.x", "deprecated", None);
        assert_eq!(deprecation(&late), "not scheduled");
        (late.deprecation_date, late.days_left) = (Some("2025-09-01".into()), Some(-3));
        assert_eq!(deprecation(&late), "since 2025-09-01 (3 days ago)");
        late.days_left = Some(3);
        assert_eq!(deprecation(&late), "on 2025-09-01 (3 days left)");
    }
}
