//! Everything the embedded account holds, and where it gets new identifiers and times from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ACCOUNT_ID, Pace, REGION, function::Function, operation::Operation};

/// The account's contents.
#[derive(Debug)]
pub(super) struct State {
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) pace: Pace,
    pub(super) calls: Vec<Operation>,
    /// Functions before their last update, and how many more reads shall show them so.
    pub(super) past: BTreeMap<String, (Value, usize)>,
    serial: u64,
}

impl State {
    pub(super) fn new(functions: Vec<Function>, pace: Pace) -> Self {
        let functions = functions
            .into_iter()
            .map(|function| (function.name.clone(), function))
            .collect();
        Self {
            functions,
            pace,
            calls: Vec::new(),
            past: BTreeMap::new(),
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

pub(super) fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
}
