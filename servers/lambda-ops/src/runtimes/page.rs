//! Reads AWS's page "Lambda runtimes" in its markdown form: its tables, by the names of their columns.

use std::{collections::HashSet, str::FromStr};

use jiff::civil::Date;

use super::{Runtime, Table};

/// Why a page was not understood. A page that is understood only in part is not used at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it has no table under the heading {0:?}")]
    NoTable(&'static str),
    #[error("the table under {section:?} has no column {column:?}")]
    NoColumn {
        section: &'static str,
        column: &'static str,
    },
    #[error("a row of the table under {section:?} has {found} cells where the heading has {wanted}")]
    Ragged {
        section: &'static str,
        found: usize,
        wanted: usize,
    },
    #[error("{0:?} is not a runtime identifier")]
    Identifier(String),
    #[error("{0:?} is not a date such as Oct 1, 2026, and not \"Not scheduled\"")]
    Day(String),
}

const SECTIONS: [&str; 2] = ["Supported runtimes", "Deprecated runtimes"];

/// The runtimes of both tables. Successors are not on the page: they come from the snapshot.
pub(super) fn read(markdown: &str) -> Result<Vec<Runtime>, Fault> {
    let mut runtimes = Vec::new();
    for section in SECTIONS {
        let lines = table_under(markdown, section);
        let (head, rows) = lines.split_first().ok_or(Fault::NoTable(section))?;
        let columns = Columns::find(section, &cells(head))?;
        let before = runtimes.len();
        for row in rows.iter().map(|row| cells(row)).filter(|row| !is_rule(row)) {
            runtimes.push(columns.runtime(&row)?);
        }
        if runtimes.len() == before {
            return Err(Fault::NoTable(section));
        }
    }
    // A runtime that is about to be deprecated may stand in both tables; the first is the one in force.
    let mut seen = HashSet::new();
    runtimes.retain(|runtime| seen.insert(runtime.id.clone()));
    Ok(runtimes)
}

/// The lines of the first table below the heading, up to the next heading.
fn table_under<'a>(markdown: &'a str, section: &str) -> Vec<&'a str> {
    let is_heading = |line: &str| line.starts_with('#');
    let titled = |line: &str| text(line.trim_start_matches('#')).eq_ignore_ascii_case(section);
    markdown
        .lines()
        .map(str::trim)
        .skip_while(|line| !(is_heading(line) && titled(line)))
        .skip(1)
        .take_while(|line| !is_heading(line))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|');
    let line = line.strip_suffix('|').unwrap_or(line);
    line.split('|').map(text).collect()
}

fn is_rule(row: &[String]) -> bool {
    row.iter()
        .all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')))
}

/// The words of a cell or heading: without emphasis, code marks, link targets, anchors and footnote signs.
fn text(raw: &str) -> String {
    let mut plain = String::new();
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '<' => past(rest, if rest.starts_with("<sup") { "</sup>" } else { ">" }),
            '[' if rest.starts_with("[^") => past(rest, "]"),
            ']' if rest.starts_with("](") => past(rest, ")"),
            '`' | '*' | '\\' | '[' | ']' => past(rest, ""),
            '¹' | '²' | '³' | '†' | '‡' => past(rest, ""),
            _ => {
                plain.push(c);
                past(rest, "")
            }
        };
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows the first `end`; without one, what follows the next character.
fn past<'a>(rest: &'a str, end: &str) -> &'a str {
    let next = rest.chars().next().map_or(0, char::len_utf8);
    let stop = if end.is_empty() {
        None
    } else {
        rest.find(end).map(|at| at + end.len())
    };
    rest.get(stop.unwrap_or(next)..).unwrap_or("")
}

/// Where the columns we need stand in one table.
struct Columns {
    section: &'static str,
    width: usize,
    name: usize,
    id: usize,
    os: usize,
    deprecation: usize,
    block_create: usize,
    block_update: usize,
}

impl Columns {
    fn find(section: &'static str, head: &[String]) -> Result<Self, Fault> {
        let at = |column: &'static str| {
            let same = |cell: &String| cell.eq_ignore_ascii_case(column);
            head.iter()
                .position(same)
                .ok_or(Fault::NoColumn { section, column })
        };
        Ok(Self {
            section,
            width: head.len(),
            name: at("Name")?,
            id: at("Identifier")?,
            os: at("Operating system")?,
            deprecation: at("Deprecation date")?,
            block_create: at("Block function create")?,
            block_update: at("Block function update")?,
        })
    }

    fn runtime(&self, row: &[String]) -> Result<Runtime, Fault> {
        let ragged = || Fault::Ragged {
            section: self.section,
            found: row.len(),
            wanted: self.width,
        };
        if row.len() != self.width {
            return Err(ragged());
        }
        let cell = |at: usize| row.get(at).ok_or_else(ragged);
        let id = identifier(cell(self.id)?)?;
        Ok(Runtime {
            name: cell(self.name)?.clone(),
            os: cell(self.os)?.clone(),
            deprecation_date: day(cell(self.deprecation)?)?,
            block_function_create_date: day(cell(self.block_create)?)?,
            block_function_update_date: day(cell(self.block_update)?)?,
            successor: Table::snapshot()
                .find(&id)
                .and_then(|known| known.successor.clone()),
            id,
        })
    }
}

fn identifier(cell: &str) -> Result<String, Fault> {
    let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if cell.starts_with(|c: char| c.is_ascii_lowercase()) && cell.chars().all(lawful) {
        Ok(cell.to_owned())
    } else {
        Err(Fault::Identifier(cell.to_owned()))
    }
}

fn day(cell: &str) -> Result<Option<Date>, Fault> {
    if cell.is_empty() || ["not scheduled", "-", "—", "–", "n/a"].contains(&cell.to_lowercase().as_str())
    {
        return Ok(None);
    }
    let written = |format| Date::strptime(format, cell);
    written("%b %d, %Y")
        .or_else(|_| written("%B %d, %Y"))
        .or_else(|_| Date::from_str(cell))
        .map(Some)
        .map_err(|_in_no_form| Fault::Day(cell.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPES: &str = include_str!("../../tests/pages/pipes.md");
    const OTHER_ORDER: &str = include_str!("../../tests/pages/other-order.md");

    fn row<'a>(runtimes: &'a [Runtime], id: &str) -> &'a Runtime {
        runtimes
            .iter()
            .find(|runtime| runtime.id == id)
            .expect("the page has it")
    }

    #[test]
    fn both_shapes_of_the_page_say_the_same() {
        let (pipes, other) = (
            read(PIPES).expect("readable"),
            read(OTHER_ORDER).expect("readable"),
        );
        assert_eq!(pipes.len(), 8);
        for runtime in &pipes {
            assert_eq!(runtime, row(&other, &runtime.id));
        }
    }

    #[test]
    fn dates_become_days_and_not_scheduled_becomes_none() {
        let runtimes = read(PIPES).expect("readable");
        let al2023 = row(&runtimes, "provided.al2023");
        assert_eq!(
            (al2023.deprecation_date, al2023.block_function_create_date),
            (None, None)
        );
        let ruby = row(&runtimes, "ruby3.2");
        assert_eq!(
            ruby.deprecation_date.map(|day| day.to_string()).as_deref(),
            Some("2026-03-31")
        );
        assert_eq!(
            ruby.block_function_update_date
                .map(|day| day.to_string())
                .as_deref(),
            Some("2026-10-01")
        );
        assert_eq!(
            row(&runtimes, "nodejs22.x").successor.as_deref(),
            Some("nodejs24.x")
        );
    }

    #[test]
    fn a_table_under_another_heading_is_not_read() {
        assert!(
            PIPES.contains("nodejs26.x"),
            "the fixture announces it under \"Upcoming runtime releases\""
        );
        assert!(
            read(PIPES)
                .expect("readable")
                .iter()
                .all(|runtime| runtime.id != "nodejs26.x")
        );
    }

    #[test]
    fn a_page_that_changed_its_columns_is_refused_whole() {
        let renamed = PIPES.replacen("Block function update", "Update block", 1);
        let fault = Fault::NoColumn {
            section: "Supported runtimes",
            column: "Block function update",
        };
        assert_eq!(read(&renamed), Err(fault));
        assert_eq!(
            read("# A page about something else"),
            Err(Fault::NoTable("Supported runtimes"))
        );
        let garbled = PIPES.replacen("Apr 30, 2027", "in spring", 1);
        assert_eq!(read(&garbled), Err(Fault::Day("in spring".to_owned())));
        let short = PIPES.replacen("| Amazon Linux 2023 | Apr 30, 2027", "| Apr 30, 2027", 1);
        assert!(matches!(
            read(&short),
            Err(Fault::Ragged {
                found: 5,
                wanted: 6,
                ..
            })
        ));
    }
}
