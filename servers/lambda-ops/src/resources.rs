//! The resources: the runtimes, and each function as `get-function` shows it.

use rmcp::{
    ErrorData,
    model::{ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use serde_json::json;

use crate::{
    LambdaOps,
    account::{FunctionName, Listed},
    percent::decoded,
    tools::{self, Failure, Marker},
};

const JSON: &str = "application/json";
const RUNTIMES: &str = "lambda://runtimes";
const FUNCTIONS: &str = "lambda://functions/";
/// What clients make the URIs of functions from.
pub(crate) const TEMPLATE: &str = "lambda://functions/{name}";

/// What the list's cursors belong to, beside the region.
const LIST: &str = "resources";

/// A page of resources: the runtimes first, then the functions in AWS's order.
pub(crate) async fn list(
    server: &LambdaOps,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ErrorData> {
    let list = format!("{LIST} {}", server.account.region());
    let at = match cursor {
        Some(cursor) => Marker::read(&cursor, &list).map_err(|_fault| {
            ErrorData::invalid_params("the cursor is not one of this list; begin without it", None)
        })?,
        None => Marker::default(),
    };
    let page = server.account.list(at.start.as_deref()).await;
    let page = page.map_err(internal)?;
    let mut resources = Vec::new();
    if at.start.is_none() {
        resources.push(runtimes());
    }
    resources.extend(page.functions.iter().map(function));
    let mut result = ListResourcesResult::with_all_items(resources);
    if let Some(start) = page.next {
        let next = Marker {
            start: Some(start),
            ..Marker::default()
        };
        let cursor = next.write(&list).map_err(internal)?;
        result.next_cursor = Some(cursor);
    }
    Ok(result)
}

/// The template of the functions' URIs.
pub(crate) fn template() -> ResourceTemplate {
    ResourceTemplate::new(TEMPLATE, "function")
        .with_title("A Lambda function")
        .with_description(
            "All about the function of this name in the server's region, as get-function shows it; of environment \
             variables the names only.",
        )
        .with_mime_type(JSON)
}

/// What stands behind a URI.
pub(crate) async fn read(server: &LambdaOps, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let text = if uri == RUNTIMES {
        runtimes_json(server).await
    } else if let Some(name) = uri.strip_prefix(FUNCTIONS) {
        function_json(server, &decoded(name)).await
    } else {
        let message = format!("there is no resource {uri:?}; there are {RUNTIMES} and {TEMPLATE}");
        return Err(ErrorData::resource_not_found(
            message,
            Some(json!({ "uri": uri })),
        ));
    };
    let text = text.map_err(|failure| refused(failure, uri))?;
    let contents = ResourceContents::text(text, uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The URI of a function.
pub(crate) fn uri(name: &str) -> String {
    format!("{FUNCTIONS}{name}")
}

/// A function as `get-function` shows it.
pub(crate) async fn function_json(server: &LambdaOps, name: &str) -> Result<String, Failure> {
    let shown = tools::look(server, &FunctionName::parse(name)?).await?;
    Ok(serde_json::to_string(&shown)?)
}

async fn runtimes_json(server: &LambdaOps) -> Result<String, Failure> {
    Ok(serde_json::to_string(&tools::all_runtimes(server).await?)?)
}

/// What neither the client nor its user can mend, or only by waiting.
pub(crate) fn internal(fault: impl Into<Failure>) -> ErrorData {
    ErrorData::internal_error(fault.into().tell(), None)
}

fn refused(failure: Failure, uri: &str) -> ErrorData {
    let is_missing = failure.is_missing();
    let (message, data) = (failure.tell(), Some(json!({ "uri": uri })));
    if is_missing {
        ErrorData::resource_not_found(message, data)
    } else {
        ErrorData::internal_error(message, data)
    }
}

fn runtimes() -> Resource {
    Resource::new(RUNTIMES, "runtimes")
        .with_title("Lambda runtimes and when they end")
        .with_description(
            "All Lambda runtimes with their dates, status and successor, as get-runtime-info gives them.",
        )
        .with_mime_type(JSON)
}

fn function(function: &Listed) -> Resource {
    let runtime = function.runtime.as_deref().unwrap_or("a container image");
    Resource::new(uri(&function.name), &*function.name)
        .with_description(format!("Lambda function, {runtime}"))
        .with_mime_type(JSON)
}
