//! The operations on functions: what each does to the account, and how it answers.

use std::{collections::BTreeMap, time::Instant};

use aws_smithy_types::base64;
use serde_json::{Value, json};

use super::{
    Embedded,
    answer::{Answer, Refused},
    behaviour::{self, Behaviour},
    faults::Fate,
    function::{Function, Update},
    request::Request,
    revisions::{self, Resource},
    state::Region,
};
use crate::runtimes::{Phase, Table, language};

type Answered = Result<Answer, Refused>;

/// The body as a JSON object.
pub(super) fn body(request: &Request) -> Result<Value, Refused> {
    if request.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&request.body)
        .map_err(|cause| Refused::malformed(format!("Could not parse request body into json: {cause}")))
}

pub(super) fn text<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

pub(super) fn found<'a>(region: &'a mut Region, at: &Resource) -> Result<&'a mut Function, Refused> {
    region
        .functions
        .get_mut(&at.name)
        .ok_or_else(|| Refused::not_found(&format!("Function not found: {}", at.arn())))
}

/// The rows of one page after `Marker`, and the marker of the next. Rows are in the order of their keys.
pub(super) fn page(request: &Request, rows: BTreeMap<String, Value>, of: &str) -> Answered {
    const LARGEST: usize = 50;
    let asked = request
        .query
        .get("MaxItems")
        .and_then(|items| items.parse::<usize>().ok());
    let size = asked.map_or(LARGEST, |items| items.clamp(1, LARGEST));
    let after = match request.query.get("Marker").filter(|marker| !marker.is_empty()) {
        Some(marker) => Some(key_in(marker).ok_or_else(|| Refused::invalid("Invalid Marker"))?),
        None => None,
    };
    let mut rest = rows
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .peekable();
    let mut last = String::new();
    let mut shown = Vec::new();
    while let Some((key, row)) = rest.next_if(|_| shown.len() < size) {
        last = key;
        shown.push(row);
    }
    let mut body = json!({ of: shown });
    if rest.peek().is_some()
        && let Some(object) = body.as_object_mut()
    {
        object.insert("NextMarker".to_owned(), json!(base64::encode(last)));
    }
    Ok(Answer::ok(&body))
}

fn key_in(marker: &str) -> Option<String> {
    String::from_utf8(base64::decode(marker).ok()?).ok()
}

pub(super) fn list(region: &Region, request: &Request) -> Answered {
    let all_versions = request
        .query
        .get("FunctionVersion")
        .is_some_and(|versions| versions == "ALL");
    let mut rows = BTreeMap::new();
    for function in region.functions.values() {
        rows.insert(format!("{}:", function.name), function.listed("$LATEST"));
        for version in function.versions.iter().filter(|_| all_versions) {
            let key = format!("{}:{:06}", function.name, version.number);
            rows.insert(key, version.frozen.listed(&version.number.to_string()));
        }
    }
    page(request, rows, "Functions")
}

pub(super) fn settings(region: &Region) -> Answer {
    let code: i64 = region.functions.values().map(|function| function.code_size).sum();
    Answer::ok(&json!({
        "AccountLimit": {
            "TotalCodeSize": 80_530_636_800_i64, "CodeSizeUnzipped": 262_144_000, "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000
        },
        "AccountUsage": { "TotalCodeSize": code, "FunctionCount": region.functions.len() }
    }))
}

pub(super) fn get_configuration(region: &mut Region, at: &Resource) -> Answered {
    if let Some((past, behind)) = region.past.get_mut(&at.name)
        && behind.updates == 0
        && behind.reads > 0
        && at.qualifier.is_none()
    {
        behind.reads -= 1;
        return Ok(Answer::ok(past));
    }
    let (function, version) = revisions::read(region, at)?;
    Ok(Answer::ok(&function.configuration(&version)))
}

pub(super) fn get(region: &mut Region, at: &Resource) -> Answered {
    let (function, version) = revisions::read(region, at)?;
    let location = format!(
        "https://example.com/{}/{}?X-Amz-Signature=embedded",
        region.name, function.name
    );
    Ok(Answer::ok(&json!({
        "Configuration": function.configuration(&version),
        "Code": { "RepositoryType": "S3", "Location": location },
        "Tags": function.tags,
    })))
}

/// AWS takes a runtime only while it is not blocked.
fn acceptable(embedded: &Embedded, runtime: &str, blocked_from: Phase) -> Result<(), Refused> {
    let table = Table::snapshot();
    let Some(known) = table.find(runtime) else {
        let all: Vec<&str> = table.runtimes.iter().map(|runtime| runtime.id.as_str()).collect();
        return Err(Refused::invalid(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or \
             be a valid ARN",
            all.join(", ")
        )));
    };
    let phase = known.phase(embedded.today());
    if phase == Phase::BlockedUpdate || phase == blocked_from {
        let newer = known.successor.as_deref().unwrap_or("a newer one");
        return Err(Refused::invalid(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. \
             We recommend you use the new runtime ({newer}) while creating or updating functions."
        )));
    }
    Ok(())
}

pub(super) fn create(embedded: &Embedded, region: &mut Region, request: &Request) -> Answered {
    let body = body(request)?;
    let required = |key: &str| {
        text(&body, key)
            .map(str::to_owned)
            .ok_or_else(|| Refused::invalid(format!("{key} must not be null")))
    };
    let (name, role) = (required("FunctionName")?, required("Role")?);
    if region.functions.contains_key(&name) {
        return Err(Refused::conflict(format!("Function already exist: {name}")));
    }
    let runtime = text(&body, "Runtime")
        .filter(|_| text(&body, "PackageType") != Some("Image"))
        .map(str::to_owned);
    if let Some(runtime) = &runtime {
        acceptable(embedded, runtime, Phase::BlockedCreate)?;
    }
    let (revision, last_modified) = (region.identifier(), region.now());
    let strings = |value: Option<&Value>| -> BTreeMap<String, String> {
        value
            .and_then(|map| serde_json::from_value(map.clone()).ok())
            .unwrap_or_default()
    };
    let function = Function {
        description: text(&body, "Description").unwrap_or_default().to_owned(),
        behaviour: Behaviour::created(
            runtime.as_deref().map(language),
            text(&body, "Handler").unwrap_or_default(),
        ),
        runtime,
        handler: text(&body, "Handler").unwrap_or_default().to_owned(),
        role,
        memory: body.get("MemorySize").and_then(Value::as_i64).unwrap_or(128),
        timeout: body.get("Timeout").and_then(Value::as_i64).unwrap_or(3),
        architecture: body
            .pointer("/Architectures/0")
            .and_then(Value::as_str)
            .unwrap_or("x86_64")
            .to_owned(),
        environment: strings(body.pointer("/Environment/Variables")),
        tags: strings(body.get("Tags")),
        code_size: 1024,
        code_sha256: base64::encode(&name),
        last_modified,
        revision,
        name: name.clone(),
        ..Function::plain(&region.name)
    };
    let answer = Answer::json(201, &function.configuration("$LATEST"));
    region.functions.insert(name, function);
    Ok(answer)
}

pub(super) fn update(embedded: &Embedded, region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let (revision, others_revision, now) = (region.identifier(), region.identifier(), region.now());
    let pace = region.pace;
    let function = found(region, at)?;
    if at.qualifier.is_some() {
        return Err(Refused::invalid(
            "This operation does not support function versions or aliases.",
        ));
    }
    if embedded.faults().changes(&function.name) {
        function.revision = others_revision;
    }
    if function.is_updating() {
        return Err(Refused::in_progress(&function.arn()));
    }
    if text(&body, "RevisionId").is_some_and(|given| given != function.revision) {
        return Err(Refused::outdated());
    }
    let before = function.runtime_in_force().map(str::to_owned);
    let past = function.configuration("$LATEST");
    if let Some(runtime) = text(&body, "Runtime") {
        if function.runtime.is_none() {
            return Err(Refused::invalid(
                "Please don't provide Runtime or Handler or Layer when the intended function PackageType is Image.",
            ));
        }
        acceptable(embedded, runtime, Phase::BlockedUpdate)?;
        function.runtime = Some(runtime.to_owned());
    }
    if let Some(description) = text(&body, "Description") {
        description.clone_into(&mut function.description);
    }
    function.timeout = body
        .get("Timeout")
        .and_then(Value::as_i64)
        .unwrap_or(function.timeout);
    function.memory = body
        .get("MemorySize")
        .and_then(Value::as_i64)
        .unwrap_or(function.memory);
    function.revision = revision;
    function.last_modified = now;
    let fate = embedded.faults().fate(&function.name);
    function.update = if pace.reads == 0 && fate == Fate::Succeeds {
        Update::Successful
    } else {
        Update::InProgress {
            before,
            reads_left: pace.reads,
            until: Instant::now() + pace.time,
            fate,
        }
    };
    let answer = Answer::ok(&function.configuration("$LATEST"));
    keep_the_past(embedded, region, &at.name, past);
    Ok(answer)
}

/// Keeps what the function was before an update, for reads that shall show it so.
fn keep_the_past(embedded: &Embedded, region: &mut Region, name: &str, past: Value) {
    match region.past.get_mut(name) {
        Some((_, behind)) if behind.updates > 0 => behind.updates -= 1,
        _ => {
            let behind = embedded.faults().reads_behind(name);
            region.past.insert(name.to_owned(), (past, behind));
        }
    }
}

pub(super) fn tag(region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let tags: BTreeMap<String, String> = body
        .get("Tags")
        .and_then(|tags| serde_json::from_value(tags.clone()).ok())
        .ok_or_else(|| Refused::invalid("Tags must be a map of strings"))?;
    found(region, at)?.tags.extend(tags);
    Ok(Answer::empty(204))
}

pub(super) fn invoke(region: &mut Region, at: &Resource, request: &Request) -> Answered {
    let id = region.identifier();
    let (function, version) = revisions::version(region, at)?;
    if function.starting.is_some() {
        return Err(Refused::conflict(
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        ));
    }
    let event = if request.body.is_empty() {
        json!({})
    } else {
        body(request)?
    };
    match request.headers.get("x-amz-invocation-type").map(String::as_str) {
        Some("DryRun") => return Ok(Answer::empty(204)),
        Some("Event") => return Ok(Answer::empty(202)),
        _ => {}
    }
    region.runs.push(format!("{}:{version}", function.name));
    let ran = behaviour::run(&function, &version, &event, &id);
    let mut answer = Answer::ok(&ran.answer);
    answer.headers.push(("x-amz-executed-version", version));
    answer.headers.push(("x-amzn-requestid", id));
    if ran.failed {
        answer
            .headers
            .push(("x-amz-function-error", "Unhandled".to_owned()));
    }
    if request
        .headers
        .get("x-amz-log-type")
        .is_some_and(|kind| kind == "Tail")
    {
        answer.headers.push(("x-amz-log-result", base64::encode(ran.log)));
    }
    Ok(answer)
}
