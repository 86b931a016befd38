//! What stands around the embedded account's functions: event sources, concurrency, layers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ACCOUNT_ID,
    answer::{Answer, Refused},
    function::EventSource,
    operation::Operation,
    operations::{found, page},
    request::Request,
    revisions::Resource,
    state::{Region, identifier},
};

/// A layer of this account. Layers of other accounts are not readable.
struct Layer {
    name: &'static str,
    /// Empty if its author did not say.
    runtimes: &'static [&'static str],
    architectures: &'static [&'static str],
}

const LAYERS: [Layer; 3] = [
    Layer {
        name: "shop-telemetry",
        runtimes: &[],
        architectures: &[],
    },
    Layer {
        name: "shop-images",
        runtimes: &["nodejs18.x", "nodejs20.x", "nodejs22.x"],
        architectures: &["x86_64", "arm64"],
    },
    Layer {
        name: "shop-dataframes",
        runtimes: &["python3.9", "python3.10", "python3.11", "python3.12"],
        architectures: &["x86_64"],
    },
];

/// `GetLayerVersionByArn`.
pub(super) fn layer(request: &Request) -> Result<Answer, Refused> {
    let arn = request.query.get("Arn").map(String::as_str).unwrap_or_default();
    let parts: Vec<&str> = arn.split(':').collect();
    let [_, _, "lambda", _, account, "layer", name, version] = parts.as_slice() else {
        return Err(Refused::invalid(format!(
            "{arn} is not the ARN of a layer version"
        )));
    };
    if *account != ACCOUNT_ID {
        return Err(Refused::denied(Operation::GetLayerVersionByArn));
    }
    let layer = LAYERS
        .iter()
        .find(|layer| layer.name == *name)
        .ok_or_else(|| Refused::not_found("The resource you requested does not exist."))?;
    let mut answer = json!({
        "LayerArn": arn.trim_end_matches(version).trim_end_matches(':'),
        "LayerVersionArn": arn,
        "Version": version.parse::<i64>().unwrap_or_default(),
        "CreatedDate": "2024-05-01T10:00:00.000+0000",
    });
    for (key, values) in [
        ("CompatibleRuntimes", layer.runtimes),
        ("CompatibleArchitectures", layer.architectures),
    ] {
        if let Some(object) = answer.as_object_mut()
            && !values.is_empty()
        {
            object.insert(key.to_owned(), json!(values));
        }
    }
    Ok(Answer::ok(&answer))
}

/// `ListEventSourceMappings`, of one function or of all.
pub(super) fn event_sources(region: &mut Region, request: &Request) -> Result<Answer, Refused> {
    let wanted = match request.query.get("FunctionName") {
        Some(named) => {
            let at = Resource::parse(&region.name, named, None, Operation::ListEventSourceMappings)?;
            Some(found(region, &at)?.name.clone())
        }
        None => None,
    };
    let mut rows = BTreeMap::new();
    for function in region.functions.values() {
        if wanted.as_ref().is_some_and(|wanted| *wanted != function.name) {
            continue;
        }
        for (at, source) in (0_u64..).zip(&function.event_sources) {
            let row = mapping(at, source, &function.arn());
            rows.insert(format!("{}:{at:04}", function.name), row);
        }
    }
    page(request, rows, "EventSourceMappings")
}

fn mapping(at: u64, source: &EventSource, function: &str) -> Value {
    json!({
        "UUID": identifier(at + 1),
        "EventSourceArn": source.arn,
        "FunctionArn": function,
        "BatchSize": source.batch_size,
        "State": source.state,
        "StateTransitionReason": "USER_INITIATED",
        "LastModified": 1_714_557_600.0,
    })
}

/// `GetFunctionConcurrency`.
pub(super) fn concurrency(region: &mut Region, at: &Resource) -> Result<Answer, Refused> {
    Ok(Answer::ok(&match found(region, at)?.reserved {
        Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
        None => json!({}),
    }))
}
