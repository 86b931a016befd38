//! The shape of the house: who may lean on whom, and what a room may be called.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use checks::tools;
use serde_json::Value;

/// The floors. A package may depend on those named here and on no other package of the house.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("skydock", &[]),
    ("bookings", &["skydock"]),
    ("pizza", &["skydock"]),
    ("lambda-ops", &["skydock"]),
    ("skydock-authorizer", &["skydock"]),
    ("skydock-agent", &["skydock"]),
    (
        "skydock-cli",
        &["skydock", "skydock-agent", "bookings", "lambda-ops"],
    ),
    (
        "checks",
        &[
            "skydock",
            "skydock-agent",
            "bookings",
            "pizza",
            "lambda-ops",
            "skydock-cli",
        ],
    ),
];

/// Names that say nothing about what is inside.
const MEANINGLESS: [&str; 7] = ["util", "common", "helpers", "types", "misc", "core", "manager"];

#[test]
fn packages_lean_only_on_the_floors_below() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let packages = packages();
    let house: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(house, known, "a new package says in ALLOWED what it may lean on");
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let leans = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dependency| dependency["name"].as_str().unwrap());
        let wrong: Vec<_> = leans
            .filter(|on| house.contains(on) && !allowed[name].contains(on))
            .collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
}

#[test]
fn no_room_has_a_name_that_says_nothing() {
    for path in sources() {
        let relative = path.strip_prefix(tools::workspace()).unwrap();
        let names = relative
            .iter()
            .map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
        let bad: Vec<_> = names
            .filter(|name| MEANINGLESS.contains(&name.as_str()))
            .collect();
        assert!(
            bad.is_empty(),
            "{} is called {bad:?}; say what is inside",
            relative.display()
        );
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//! "))
        .collect();
    assert!(
        silent.is_empty(),
        "these do not open with `//!` and a sentence: {silent:?}"
    );
}

fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tools::workspace())
        .output()
        .unwrap();
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Every Rust file of every package.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for package in packages() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        collect(manifest.parent().unwrap(), &mut found);
    }
    assert!(
        found.len() > 20,
        "only {} files: the search is broken",
        found.len()
    );
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
