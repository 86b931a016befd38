//! The documentation against the code: the commands exist, and the table of flags is the one that the code has.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use checks::tools;
use clap::{Arg, Args as _};

/// One row of the table in docs/reference/config.md.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    flag: String,
    variable: String,
    values: String,
    default: String,
}

#[test]
fn the_table_of_flags_is_the_one_that_the_code_has() {
    let page = tools::workspace().join("docs/reference/config.md");
    let text = fs::read_to_string(&page).expect("docs/reference/config.md");
    let mut rows: BTreeMap<String, Row> = table(&text)
        .into_iter()
        .map(|row| (long(&row.flag), row))
        .collect();
    let command = skydock::Flags::augment_args(clap::Command::new("any"));
    for argument in command.get_arguments() {
        let name = format!("--{}", argument.get_long().expect("every flag has a long name"));
        let row = rows
            .remove(&name)
            .unwrap_or_else(|| panic!("{name} is missing in docs/reference/config.md"));
        agrees(argument, &row);
    }
    let gone: Vec<_> = rows.into_keys().collect();
    assert!(
        gone.is_empty(),
        "docs/reference/config.md has flags that the code has not: {gone:?}"
    );
}

fn agrees(argument: &Arg, row: &Row) {
    let variable = argument
        .get_env()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    assert_eq!(code(&row.variable), variable, "the variable of {}", row.flag);
    // The value's name may stand beside the flag; if it does, it is the one that --help shows.
    let names = argument.get_value_names().unwrap_or_default();
    let written = code(&row.flag);
    let mut words = written.split_whitespace().skip(1).peekable();
    let named = words.peek().is_none() || words.eq(names.iter().map(|name| name.as_str()));
    assert!(named, "the value's name of {} is {names:?}", row.flag);
    for value in argument.get_possible_values() {
        let value = value.get_name();
        assert!(
            row.values.contains(&format!("`{value}`")),
            "{} may be `{value}`: {}",
            row.flag,
            row.values
        );
    }
    assert!(!row.values.is_empty(), "the values of {}", row.flag);
    if let Some(value) = default(&long(&row.flag)) {
        assert!(
            row.default.contains(&format!("`{value}`")),
            "the default of {} is `{value}`",
            row.flag
        );
    }
    assert!(
        !row.default.is_empty(),
        "the default of {}; write none if there is none",
        row.flag
    );
}

/// What the code does without the flag, where that is a value.
fn default(flag: &str) -> Option<String> {
    let skydock::Config {
        mode, limits, log, ..
    } = skydock::Config::default();
    Some(match flag {
        "--mode" => mode.as_str().to_owned(),
        "--timeout" => limits.timeout.as_secs().to_string(),
        "--grace" => limits.grace.as_secs().to_string(),
        "--max-body" => limits.body.to_string(),
        "--max-sessions" => limits.sessions.to_string(),
        "--session-ttl" => limits.session_ttl.as_secs().to_string(),
        "--log" => log,
        _ => return None,
    })
}

#[test]
fn every_command_in_the_documentation_exists() {
    let mut commands = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for line in shell_lines(&text) {
            let said = format!(
                "{}: {line}",
                page.strip_prefix(tools::workspace()).unwrap().display()
            );
            commands += usize::from(exists(&line, &said));
        }
    }
    assert!(
        commands >= 2,
        "the README has at least its two commands; found {commands}"
    );
}

/// Checks a command that is one of ours, and says whether it is.
fn exists(line: &str, said: &str) -> bool {
    let words: Vec<&str> = line
        .split_whitespace()
        .take_while(|word| !["|", "&&", "#", ">", "&"].contains(word))
        .collect();
    match words.as_slice() {
        ["./check", ..] => {
            let mode = fs::metadata(tools::workspace().join("check"))
                .expect("./check")
                .permissions()
                .mode();
            assert!(mode & 0o111 != 0, "{said}: ./check can be run");
            assert_eq!(words.len(), 1, "{said}: ./check takes nothing");
            true
        }
        ["cargo", "run", rest @ ..] => {
            let (cargo, ours) = match rest.iter().position(|word| *word == "--") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &[][..]),
            };
            let named = cargo
                .iter()
                .position(|word| ["-p", "--package", "--bin"].contains(word));
            let program = named.map_or("skydock", |at| {
                if cargo[at + 1] == "skydock-cli" {
                    "skydock"
                } else {
                    cargo[at + 1]
                }
            });
            accepts(program, ours, said);
            true
        }
        [
            program @ ("skydock" | "bookings" | "pizza" | "lambda-ops" | "conformance-server"),
            ours @ ..,
        ] => {
            accepts(program, ours, said);
            true
        }
        _ => false,
    }
}

/// Every verb and every flag is in the help of the program.
fn accepts(program: &str, arguments: &[&str], said: &str) {
    let binary = tools::built(program).unwrap();
    // a verb, and where it has some, a verb of that; a target in that place changes nothing
    let verbs = arguments
        .iter()
        .take_while(|word| program == "skydock" && !word.starts_with('-'))
        .take(2);
    let mut help = Command::new(&binary);
    help.args(verbs).arg("--help");
    let help = help.output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(
        help.status.success(),
        "{said}: `{program}` does not know it: {}",
        String::from_utf8_lossy(&help.stderr)
    );
    // What follows `--` belongs to another program.
    for word in arguments.iter().take_while(|word| **word != "--") {
        let flag = word.split('=').next().unwrap();
        if flag.starts_with("--") {
            assert!(
                text.split([' ', ',', '\n', '[', '=']).any(|known| known == flag),
                "{said}: no {flag} in\n{text}"
            );
        }
    }
}

/// The pages at the root and under docs/.
fn pages() -> Vec<PathBuf> {
    let mut open = vec![tools::workspace().join("docs")];
    let mut found: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"]
        .map(|name| tools::workspace().join(name))
        .to_vec();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The commands in fenced blocks of shell, one a line; continued lines are joined, prompts and comments left out.
fn shell_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fence = None;
    let mut continued = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            fence = fence.is_none().then(|| language.trim().to_owned());
            continue;
        }
        if !fence
            .as_deref()
            .is_some_and(|language| ["sh", "bash", "shell", "console", ""].contains(&language))
        {
            continue;
        }
        let line = line.strip_prefix("$ ").unwrap_or(line);
        continued.push_str(line.trim_end_matches('\\'));
        if line.ends_with('\\') {
            continue;
        }
        lines.push(std::mem::take(&mut continued));
    }
    lines
}

/// The rows of the tables whose first column is `flag`.
fn table(text: &str) -> Vec<Row> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    let mut inside = false;
    let mut rows = Vec::new();
    for line in text.lines() {
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        if cells[0] == "flag" {
            assert_eq!(cells, ["flag", "variable", "values", "default"]);
            inside = true;
        } else if inside && !cells[0].starts_with("--") {
            let [flag, variable, values, default] = cells.try_into().expect("four columns");
            rows.push(Row {
                flag,
                variable,
                values,
                default,
            });
        }
    }
    rows
}

/// The first `code` of a cell.
fn code(cell: &str) -> String {
    cell.split('`').nth(1).unwrap_or_default().to_owned()
}

fn long(flag: &str) -> String {
    code(flag)
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_table_and_its_rows_are_found() {
    let text = "x\n\n| flag | variable | values | default |\n|---|---|---|---|\n\
                | `--mode MODE` | `SKYDOCK_MODE` | `a` · `b` | `a` |\n\n| other | table |\n|---|---|\n| 1 | 2 |\n";
    let row = |flag: &str| Row {
        flag: flag.to_owned(),
        variable: "`SKYDOCK_MODE`".to_owned(),
        values: "`a` · `b`".to_owned(),
        default: "`a`".to_owned(),
    };
    assert_eq!(table(text), [row("`--mode MODE`")]);
    assert_eq!(long("`--mode MODE`"), "--mode");
}

#[test]
fn commands_are_found_in_shell_blocks_only() {
    let text = "```sh\n$ cargo run -- demo \\\n    --once\n```\n```json\n./check\n```\n./check\n";
    assert_eq!(shell_lines(text), ["cargo run -- demo --once"]);
}
