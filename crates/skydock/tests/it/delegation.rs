//! The guard delegates every method of rmcp's `ServerHandler`: a method that it forgot would silently answer rmcp's
//! default, whatever the author's handler says.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

fn run(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The folder of the rmcp that this test is built with.
fn rmcp() -> PathBuf {
    let rustc = run(Command::new("rustc").arg("-vV"));
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    // only what was built is on this machine
    let arguments = [
        "metadata",
        "--format-version",
        "1",
        "--offline",
        "--locked",
        "--filter-platform",
        host,
    ];
    let metadata: serde_json::Value =
        serde_json::from_str(&run(Command::new(env!("CARGO")).args(arguments))).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let rmcp = packages.iter().find(|package| package["name"] == "rmcp").unwrap();
    PathBuf::from(rmcp["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

/// The names of the functions that are declared in a text.
fn functions(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("async ");
        let name = line.strip_prefix("fn ")?.split(['(', '<']).next()?;
        Some(name.to_owned())
    });
    names.filter(|name| !name.starts_with('$')).collect()
}

#[test]
fn every_method_is_delegated() {
    let theirs = std::fs::read_to_string(rmcp().join("src/handler/server.rs")).unwrap();
    let (_, methods) = theirs
        .split_once("macro_rules! server_handler_methods {")
        .expect("rmcp declares them in a macro");
    let (methods, _) = methods.split_once("\npub trait ServerHandler").unwrap();
    let methods: BTreeSet<_> = functions(methods)
        .into_iter()
        .filter(|name| name != "get_info_")
        .collect();
    assert!(
        methods.len() >= 32,
        "rmcp 3.9 has 32 methods; this test found {methods:?}"
    );

    let ours = include_str!("../../src/guard/handler.rs");
    let (_, ours) = ours.split_once("ServerHandler for Guard<H> {").unwrap();
    let mut delegated = functions(ours);
    for line in ours.lines().map(str::trim).filter(|line| line.ends_with(';')) {
        // an entry of one of the macros: `name(Params) -> Result;`, `name -> Result;`, `name();`
        let name = line.split(['(', ' ', ';']).next().unwrap_or_default();
        if !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
        {
            delegated.insert(name.to_owned());
        }
    }
    let forgotten: Vec<_> = methods.difference(&delegated).collect();
    assert_eq!(
        forgotten,
        Vec::<&String>::new(),
        "rmcp has methods that the guard does not delegate"
    );
}
