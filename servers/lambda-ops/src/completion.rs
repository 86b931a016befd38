//! Completion of what people write into prompts and URIs: functions, runtimes, their languages, regions.

use rmcp::{
    ErrorData,
    model::{ArgumentInfo, CompleteResult, CompletionInfo, Reference},
};

use crate::{
    LambdaOps, prompts, resources,
    tools::{Family, regions},
};

/// The values that begin with what is written so far.
pub(crate) async fn complete(
    server: &LambdaOps,
    of: &Reference,
    argument: &ArgumentInfo,
) -> Result<CompleteResult, ErrorData> {
    let wanted = match of {
        Reference::Resource(resource) if resource.uri == resources::TEMPLATE => {
            match argument.name.as_str() {
                "name" => Some(prompts::FUNCTION),
                _ => None,
            }
        }
        Reference::Prompt(prompt) if prompts::has(&prompt.name) => Some(argument.name.as_str()),
        _ => {
            let message =
                "there is nothing to complete here: the resource template or the prompt does not exist";
            return Err(ErrorData::invalid_params(message, None));
        }
    };
    let names: Vec<String> = match wanted {
        Some(prompts::FUNCTION) => {
            let names = server.account.names().await;
            names.map_err(resources::internal)?.to_vec()
        }
        Some(prompts::RUNTIME) => {
            let table = server.runtimes.table().await;
            table.runtimes.iter().map(|runtime| runtime.id.clone()).collect()
        }
        Some(prompts::FAMILY) => Family::NAMES.map(str::to_owned).to_vec(),
        Some(prompts::REGIONS) => with_a_region(&argument.value),
        _ => Vec::new(),
    };
    Ok(CompleteResult::new(beginning_with(&argument.value, names)))
}

/// The regions written so far with one more in the place of the last. `all` stands alone.
fn with_a_region(written: &str) -> Vec<String> {
    let begun = written.rfind([',', ' ']).map_or(0, |at| at + 1);
    let before = written.get(..begun).unwrap_or_default();
    let named: Vec<&str> = before.split([',', ' ']).collect();
    let alone = before.is_empty().then_some("all");
    let more = regions::BY_DEFAULT
        .into_iter()
        .filter(|region| !named.contains(region));
    alone
        .into_iter()
        .chain(more)
        .map(|region| format!("{before}{region}"))
        .collect()
}

fn beginning_with(written: &str, mut names: Vec<String>) -> CompletionInfo {
    names.retain(|name| name.starts_with(written));
    let mut completion = CompletionInfo::default();
    completion.total = u32::try_from(names.len()).ok();
    completion.has_more = Some(names.len() > CompletionInfo::MAX_VALUES);
    names.truncate(CompletionInfo::MAX_VALUES);
    completion.values = names;
    completion
}
