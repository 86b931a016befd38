//! Completion of what people write into prompts and URIs: names of functions, identifiers of runtimes.

use rmcp::{
    ErrorData,
    model::{ArgumentInfo, CompleteResult, CompletionInfo, Reference},
};

use crate::{LambdaOps, prompts, resources};

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
        _ => Vec::new(),
    };
    Ok(CompleteResult::new(beginning_with(&argument.value, names)))
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
