//! Puts what was found in the regions together, runtime by runtime.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{
    super::{filter::brief, get_runtime_info::Status},
    Function, Group, Output, Region, Totals,
    survey::Found,
};
use crate::runtimes::{Runtime, Table};

/// The report, with at most `limit` functions named.
pub(super) fn report(found: Vec<Found>, table: &Table, today: Date, limit: usize) -> Output {
    let mut totals = Totals {
        functions: found.iter().map(|region| region.functions).sum(),
        affected: found.iter().map(|region| region.affected.len()).sum(),
        container_images: found.iter().map(|region| region.images).sum(),
        left_out: 0,
        incomplete_regions: found.iter().filter(|region| region.error.is_some()).count(),
        unknown_runtimes: Vec::new(),
    };
    let unknown: BTreeSet<&String> = found.iter().flat_map(|region| &region.unknown).collect();
    totals.unknown_runtimes = unknown.into_iter().cloned().collect();
    let (are_many, mut regions) = (found.len() > 1, Vec::new());
    let mut by_runtime: BTreeMap<String, Vec<Function>> = BTreeMap::new();
    for region in found {
        regions.push(Region {
            region: region.region.clone(),
            functions: region.functions,
            affected: region.affected.len(),
            error: region.error,
            owners_unknown: region.owners_unknown,
        });
        for (function, owner) in region.affected {
            let row = Function {
                name: function.name,
                region: are_many.then(|| region.region.clone()),
                last_modified: day(function.last_modified),
                owner: owner.as_ref().map(brief),
            };
            by_runtime
                .entry(function.runtime.unwrap_or_default())
                .or_default()
                .push(row);
        }
    }
    let mut runtimes: Vec<Group> = by_runtime
        .into_iter()
        .filter_map(|(id, functions)| Some(group(table.find(&id)?, functions, today)))
        .collect();
    runtimes.sort_by_key(|group| group.deprecation_date);
    let mut left = limit;
    for group in &mut runtimes {
        group.functions.truncate(left);
        left -= group.functions.len();
    }
    totals.left_out = totals.affected - (limit - left);
    Output {
        as_of: table.as_of,
        today,
        warning: table.warning.clone(),
        totals,
        regions,
        runtimes,
    }
}

fn group(runtime: &Runtime, functions: Vec<Function>, today: Date) -> Group {
    Group {
        runtime: runtime.id.clone(),
        status: Status::of(runtime.phase(today)),
        deprecation_date: runtime.deprecation_date,
        block_function_create_date: runtime.block_function_create_date,
        block_function_update_date: runtime.block_function_update_date,
        days_left: runtime.days_left(today),
        successor: runtime.successor.clone(),
        count: functions.len(),
        functions,
    }
}

/// The day of a time as AWS writes it.
fn day(mut time: String) -> String {
    const LENGTH: usize = "2026-10-20".len();
    if time.is_char_boundary(LENGTH) {
        time.truncate(LENGTH);
    }
    time
}
