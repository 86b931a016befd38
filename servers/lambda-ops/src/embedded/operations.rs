//! The operations on functions: what each does to the account, and how it answers.

use std::{collections::BTreeMap, time::Instant};

use aws_smithy_types::base64;
use serde_json::{Value, json};

use super::{
    Embedded, REGION,
    answer::{Answer, Refused},
    behaviour::{self, Behaviour},
    connector::Request,
    faults::{Fate, Refusal},
    function::{Function, Update},
    operation::{Operation, Target},
    revisions::{self, Resource},
    state::State,
};
use crate::runtimes::{Phase, Table, language};

type Answered = Result<Answer, Refused>;

/// Answers a request, with the faults that are due; none if it is never answered.
pub(super) fn answer(embedded: &Embedded, request: &Request) -> Option<Answer> {
    let Some(target) = Target::of(&request.method, &request.path) else {
        let path = format!("/{}", request.path.join("/"));
        return Some(Refused::not_offered(&request.method, &path).into());
    };
    let mut state = embedded.state();
    state.calls.push(target.operation);
    if embedded.faults().leaves_unanswered(target.operation) {
        return None;
    }
    match embedded.faults().refusal(target.operation) {
        Some(Refusal::Throttled) => return Some(Refused::throttled().into()),
        Some(Refusal::Denied) => return Some(Refused::denied(&format!("{:?}", target.operation)).into()),
        Some(Refusal::KeyDenied) => return Some(Refused::key_denied().into()),
        Some(Refusal::Broken) => return Some(Refused::service().into()),
        None => {}
    }
    let mut answered = carry_out(embedded, &mut state, &target, request).unwrap_or_else(Answer::from);
    if embedded.faults().garbles_the_answer(target.operation) {
        answered.body.pop();
    }
    if embedded.faults().loses_the_answer(target.operation) {
        answered = Refused::service().into();
    }
    Some(answered)
}

fn carry_out(embedded: &Embedded, state: &mut State, target: &Target<'_>, request: &Request) -> Answered {
    let Target {
        operation,
        function,
        alias,
    } = *target;
    if function.is_empty() {
        return match operation {
            Operation::CreateFunction => create(embedded, state, request),
            Operation::ListFunctions => list(state, request),
            _ => Ok(settings(state)),
        };
    }
    let at = Resource::parse(function, request.query.get("Qualifier"))?;
    match operation {
        Operation::GetFunction => get(state, &at),
        Operation::GetFunctionConfiguration => get_configuration(state, &at),
        Operation::UpdateFunctionConfiguration => update(embedded, state, &at, request),
        Operation::Invoke => invoke(state, &at, request),
        Operation::ListTags => Ok(Answer::ok(&json!({ "Tags": found(state, &at)?.tags }))),
        Operation::TagResource => tag(state, &at, request),
        Operation::DeleteFunction => {
            found(state, &at)?;
            state.functions.remove(&at.name);
            Ok(Answer::empty(204))
        }
        _ => revisions::answer(state, operation, &at, alias, request),
    }
}

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

pub(super) fn found<'a>(state: &'a mut State, at: &Resource) -> Result<&'a mut Function, Refused> {
    state
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

fn list(state: &State, request: &Request) -> Answered {
    let all_versions = request
        .query
        .get("FunctionVersion")
        .is_some_and(|versions| versions == "ALL");
    let mut rows = BTreeMap::new();
    for function in state.functions.values() {
        rows.insert(format!("{}:", function.name), function.listed("$LATEST"));
        for version in function.versions.iter().filter(|_| all_versions) {
            let key = format!("{}:{:06}", function.name, version.number);
            rows.insert(key, version.frozen.listed(&version.number.to_string()));
        }
    }
    page(request, rows, "Functions")
}

fn settings(state: &State) -> Answer {
    let code: i64 = state.functions.values().map(|function| function.code_size).sum();
    Answer::ok(&json!({
        "AccountLimit": {
            "TotalCodeSize": 80_530_636_800_i64, "CodeSizeUnzipped": 262_144_000, "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000
        },
        "AccountUsage": { "TotalCodeSize": code, "FunctionCount": state.functions.len() }
    }))
}

fn get_configuration(state: &mut State, at: &Resource) -> Answered {
    if let Some((past, reads)) = state.past.get_mut(&at.name)
        && *reads > 0
    {
        *reads -= 1;
        return Ok(Answer::ok(past));
    }
    found(state, at)?.read();
    let (function, version) = revisions::version(state, at)?;
    Ok(Answer::ok(&function.configuration(&version)))
}

fn get(state: &mut State, at: &Resource) -> Answered {
    found(state, at)?.read();
    let (function, version) = revisions::version(state, at)?;
    let location = format!(
        "https://example.com/{REGION}/{}?X-Amz-Signature=embedded",
        function.name
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

fn create(embedded: &Embedded, state: &mut State, request: &Request) -> Answered {
    let body = body(request)?;
    let required = |key: &str| {
        text(&body, key)
            .map(str::to_owned)
            .ok_or_else(|| Refused::invalid(format!("{key} must not be null")))
    };
    let (name, role) = (required("FunctionName")?, required("Role")?);
    if state.functions.contains_key(&name) {
        return Err(Refused::conflict(format!("Function already exist: {name}")));
    }
    let runtime = text(&body, "Runtime")
        .filter(|_| text(&body, "PackageType") != Some("Image"))
        .map(str::to_owned);
    if let Some(runtime) = &runtime {
        acceptable(embedded, runtime, Phase::BlockedCreate)?;
    }
    let (revision, last_modified) = (state.identifier(), state.now());
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
        layers: Vec::new(),
        environment: strings(body.pointer("/Environment/Variables")),
        tags: strings(body.get("Tags")),
        code_size: 1024,
        code_sha256: base64::encode(&name),
        last_modified,
        revision,
        update: Update::Successful,
        versions: Vec::new(),
        aliases: BTreeMap::new(),
        name: name.clone(),
    };
    let answer = Answer::json(201, &function.configuration("$LATEST"));
    state.functions.insert(name, function);
    Ok(answer)
}

fn update(embedded: &Embedded, state: &mut State, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let (revision, others_revision, now) = (state.identifier(), state.identifier(), state.now());
    let pace = state.pace;
    let function = found(state, at)?;
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
    let behind = embedded.faults().reads_behind(&at.name);
    state.past.insert(at.name.clone(), (past, behind));
    Ok(answer)
}

fn tag(state: &mut State, at: &Resource, request: &Request) -> Answered {
    let body = body(request)?;
    let tags: BTreeMap<String, String> = body
        .get("Tags")
        .and_then(|tags| serde_json::from_value(tags.clone()).ok())
        .ok_or_else(|| Refused::invalid("Tags must be a map of strings"))?;
    found(state, at)?.tags.extend(tags);
    Ok(Answer::empty(204))
}

fn invoke(state: &mut State, at: &Resource, request: &Request) -> Answered {
    let id = state.identifier();
    let (function, version) = revisions::version(state, at)?;
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
