//! The functions that the embedded account has with every seed, one of each kind that somebody needs.

use std::collections::BTreeMap;

use super::{
    ACCOUNT_ID,
    behaviour::Habit,
    function::{Alias, EventSource, Function, Version},
    state::{arn, identifier},
};

/// A function that is the same with every seed, for whoever needs one of its kind.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// `None` is a container image.
    pub(super) runtime: Option<&'static str>,
    pub(super) habit: Habit,
    pub(super) owner: Owner,
}

/// What made a function, as its tags show.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    Nobody,
    CloudFormation,
    Sam,
    Cdk,
    Terraform,
}

const fn known(name: &'static str, runtime: &'static str, habit: Habit, owner: Owner) -> Known {
    Known {
        name,
        runtime: Some(runtime),
        habit,
        owner,
    }
}

pub(super) const KNOWN: [Known; 21] = [
    known("orders-api", "nodejs20.x", Habit::Sound, Owner::Nobody),
    known("catalog-api", "nodejs22.x", Habit::Sound, Owner::Nobody),
    known("invoice-pdf", "nodejs16.x", Habit::NeedsBundledSdk, Owner::Nobody),
    known(
        "thumbnail-maker",
        "nodejs18.x",
        Habit::NeedsCallback,
        Owner::Nobody,
    ),
    known(
        "customer-export",
        "python3.9",
        Habit::NeedsDistutils,
        Owner::Nobody,
    ),
    known(
        "price-forecast",
        "python3.11",
        Habit::NativeExtension { minor: 11 },
        Owner::Nobody,
    ),
    known("tax-rules", "java8.al2", Habit::NeedsJaxb, Owner::Nobody),
    known("webhook-relay", "go1.x", Habit::NoBootstrap, Owner::Nobody),
    known(
        "payment-webhook",
        "nodejs22.x",
        Habit::AlwaysRaises,
        Owner::Nobody,
    ),
    known("report-builder", "python3.12", Habit::TimesOut, Owner::Nobody),
    known("session-cleanup", "nodejs12.x", Habit::Sound, Owner::Nobody),
    known(
        "search-indexer",
        "python3.10",
        Habit::Sound,
        Owner::CloudFormation,
    ),
    known("stock-sync", "nodejs18.x", Habit::Sound, Owner::Terraform),
    known("checkout-api", "nodejs18.x", Habit::Sound, Owner::Cdk),
    Known {
        name: "media-transcoder",
        runtime: None,
        habit: Habit::Sound,
        owner: Owner::Sam,
    },
    known("loyalty-points", "java17", Habit::Sound, Owner::Nobody),
    known(EDGE_REPLICA, "nodejs20.x", Habit::Sound, Owner::Nobody),
    known("order-events", "nodejs20.x", Habit::Sound, Owner::Nobody),
    known("email-renderer", "nodejs18.x", Habit::Sound, Owner::Nobody),
    known("sales-figures", "python3.10", Habit::Sound, Owner::Nobody),
    known("partner-feed", "nodejs20.x", Habit::Sound, Owner::Nobody),
];

/// AWS names a replica after the region of its master.
const EDGE_REPLICA: &str = "us-east-1.geo-redirect";

/// Gives a known function what is special about it, beside its runtime and its habit.
pub(super) fn dress(function: &mut Function) {
    let layer = |account: &str, layer: &str| {
        let region = &function.region;
        vec![format!("arn:aws:lambda:{region}:{account}:layer:{layer}")]
    };
    match function.name.as_str() {
        "loyalty-points" => {
            function.layers = Vec::new();
            function.snap_start = true;
        }
        EDGE_REPLICA => {
            let master = arn("us-east-1", "geo-redirect");
            function.master_arn = Some(format!("{master}:4"));
        }
        "email-renderer" => function.layers = layer(ACCOUNT_ID, "shop-images:4"),
        "sales-figures" => {
            function.layers = layer(ACCOUNT_ID, "shop-dataframes:2");
            "x86_64".clone_into(&mut function.architecture);
        }
        "partner-feed" => function.layers = layer(SOMEBODY_ELSE, "vendor-agent:7"),
        "order-events" => publish_twice(function),
        _ => {}
    }
}

/// The account of a layer that this account may use but not read.
const SOMEBODY_ELSE: &str = "999999999999";

/// Version 1 on the runtime before, version 2 as it is now, and an alias on its way from one to the other.
fn publish_twice(function: &mut Function) {
    let region = function.region.clone();
    function.reserved = Some(20);
    function.event_sources = vec![EventSource {
        arn: format!("arn:aws:sqs:{region}:{ACCOUNT_ID}:orders"),
        state: "Enabled",
        batch_size: 10,
    }];
    let second = function.clone();
    let first = Function {
        runtime: Some("nodejs18.x".to_owned()),
        last_modified: "2024-02-01T09:00:00.000+0000".to_owned(),
        revision: identifier(1 << 40),
        ..second.clone()
    };
    function.versions = (1..)
        .zip([first, second])
        .map(|(number, frozen)| Version {
            number,
            frozen: Box::new(frozen),
        })
        .collect();
    let live = Alias {
        version: "1".to_owned(),
        weights: BTreeMap::from([("2".to_owned(), 0.1)]),
        description: String::new(),
        revision: identifier(1 << 41),
    };
    function.aliases.insert("live".to_owned(), live);
}
