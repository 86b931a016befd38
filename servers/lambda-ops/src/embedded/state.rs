//! Everything the embedded account holds, region by region, and where it gets new identifiers and times from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ACCOUNT_ID, Pace, faults::Behind, function::Function, operation::Operation};

/// The account's contents.
#[derive(Debug)]
pub(super) struct State {
    regions: BTreeMap<String, Region>,
    pace: Pace,
    /// What was called, and in which region.
    pub(super) calls: Vec<(Operation, String)>,
}

/// What is in one region.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) pace: Pace,
    /// Functions before an update, and for how long they shall be shown so.
    pub(super) past: BTreeMap<String, (Value, Behind)>,
    /// The functions that were really run, as `name:version`.
    pub(super) runs: Vec<String>,
    serial: u64,
}

impl State {
    pub(super) fn new(fleets: impl IntoIterator<Item = (String, Vec<Function>)>, pace: Pace) -> Self {
        let region = |(name, functions): (String, Vec<Function>)| {
            let region = Region::new(name.clone(), functions, pace);
            (name, region)
        };
        Self {
            regions: fleets.into_iter().map(region).collect(),
            pace,
            calls: Vec::new(),
        }
    }

    /// A region; one that nobody has used yet is empty.
    pub(super) fn region(&mut self, name: &str) -> &mut Region {
        let pace = self.pace;
        self.regions
            .entry(name.to_owned())
            .or_insert_with(|| Region::new(name.to_owned(), Vec::new(), pace))
    }

    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        for region in self.regions.values_mut() {
            region.pace = pace;
        }
    }

    /// The functions that were really run, region by region.
    pub(super) fn runs(&self) -> Vec<String> {
        self.regions
            .values()
            .flat_map(|region| region.runs.clone())
            .collect()
    }

    /// Every function of every region.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.regions.values().flat_map(|region| region.functions.values())
    }
}

impl Region {
    fn new(name: String, functions: Vec<Function>, pace: Pace) -> Self {
        let functions = functions
            .into_iter()
            .map(|function| (function.name.clone(), function))
            .collect();
        Self {
            name,
            functions,
            pace,
            past: BTreeMap::new(),
            runs: Vec::new(),
            serial: 0,
        }
    }

    /// A new identifier in the form of a UUID. They differ, and are the same in each run.
    pub(super) fn identifier(&mut self) -> String {
        self.serial += 1;
        identifier(self.serial)
    }

    /// A time after all times given before.
    pub(super) fn now(&mut self) -> String {
        self.serial += 1;
        let seconds = i64::try_from(self.serial).unwrap_or(i64::MAX);
        let start = Timestamp::constant(1_792_454_400, 0); // 2026-10-20
        written(
            start
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(start),
        )
    }
}

/// Spreads a number over the form of a UUID.
pub(super) fn identifier(serial: u64) -> String {
    let a = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let b = (a ^ (a >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xFFFF,
        a & 0xFFF,
        b >> 52,
        b & 0xFFFF_FFFF_FFFF
    )
}

/// A time as Lambda writes it.
pub(super) fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

pub(super) fn arn(region: &str, function: &str) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{function}")
}
