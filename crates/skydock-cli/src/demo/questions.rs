//! What the demo asks lambda-ops, and what it hears: the tools' structured content, and nothing else of that server.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, bail};
use rmcp::model::CallToolRequestParams;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use skydock_agent::client::Client;

use super::lambda::Narrator;
use crate::progress::Progress;

/// Functions to a page: few, so that the account needs several, as a real one does.
const PAGE: u32 = 20;

/// A runtime, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Runtime {
    pub(super) id: String,
    pub(super) deprecation_date: Option<String>,
    pub(super) status: String,
    pub(super) days_left: Option<i32>,
    pub(super) successor: Option<String>,
}

impl Runtime {
    /// Whether AWS has stopped to patch it.
    pub(super) fn is_deprecated(&self) -> bool {
        self.status != "supported"
    }

    /// Whether a function on it can be moved, and moved back.
    pub(super) fn can_be_left(&self) -> bool {
        self.is_deprecated() && self.status != "blocked-update" && self.successor.is_some()
    }
}

/// What `get-runtime-info` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Runtimes {
    pub(super) source: String,
    pub(super) as_of: String,
    pub(super) today: String,
    pub(super) runtimes: Vec<Runtime>,
}

/// A function, as `list-functions` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) runtime: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    functions: Vec<Function>,
    marker: Option<String>,
}

/// How `update-function-runtime` went.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upgrade {
    pub(super) function_name: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) outcome: Outcome,
    pub(super) steps: Vec<Step>,
    /// What to change in the template that owns the function.
    pub(super) patch: Option<Patch>,
    /// The plan that the user was asked about.
    #[serde(skip)]
    pub(super) question: Option<String>,
}

/// A change of a template.
#[derive(Debug, Deserialize)]
pub(super) struct Patch {
    pub(super) file: String,
    pub(super) diff: String,
    pub(super) deploy: String,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Updated,
    RolledBack,
    RollbackFailed,
    Unchanged,
    Planned,
    Declined,
    OwnedByTemplate,
    LeftToUser,
    Open,
}

/// One step of it.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) step: String,
    pub(super) status: String,
    pub(super) detail: String,
    /// What the function answered to its test.
    pub(super) output: Option<String>,
}

/// The functions on each runtime of a language, oldest runtime first.
pub(super) type Groups = BTreeMap<(u32, String), Vec<Function>>;

/// The server, asked as any MCP client would.
pub(super) struct Questions<'a> {
    pub(super) client: &'a Client,
    pub(super) progress: Arc<Progress>,
    pub(super) narrator: Arc<Narrator>,
}

impl Questions<'_> {
    pub(super) async fn runtimes(&self) -> Result<Runtimes> {
        self.progress
            .say("asking get-runtime-info which runtimes end when");
        self.ask("get-runtime-info", json!({})).await
    }

    /// All functions of a language, page by page, grouped by runtime.
    pub(super) async fn functions(&self, family: &str) -> Result<Groups> {
        let mut groups = Groups::new();
        let mut marker: Option<String> = None;
        let mut pages = 0;
        loop {
            pages += 1;
            self.progress
                .say(&format!("asking list-functions for {family}, page {pages}"));
            let mut arguments = json!({"runtimeFamily": family, "pageSize": PAGE});
            if let (Some(marker), Some(arguments)) = (&marker, arguments.as_object_mut()) {
                arguments.insert("marker".to_owned(), marker.as_str().into());
            }
            let page: Page = self.ask("list-functions", arguments).await?;
            for function in page.functions {
                let Some(runtime) = function.runtime.clone() else {
                    continue;
                };
                groups
                    .entry((major(&runtime), runtime))
                    .or_default()
                    .push(function);
            }
            if page.marker.is_none() {
                return Ok(groups);
            }
            marker = page.marker;
        }
    }

    pub(super) async fn upgrade(&self, function: &str, to: &str, event: &str) -> Result<Upgrade> {
        self.progress.say(&format!(
            "asking update-function-runtime to move {function} to {to}"
        ));
        let arguments = json!({"functionName": function, "runtime": to, "testEvent": event});
        let mut upgrade: Upgrade = self.ask("update-function-runtime", arguments).await?;
        upgrade.question = self.narrator.asked();
        Ok(upgrade)
    }

    async fn ask<T: DeserializeOwned>(&self, tool: &'static str, arguments: Value) -> Result<T> {
        let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.client.call_tool(params).await.context(tool)?;
        // an upgrade that was put back is an error to a model, and still has its report
        let Some(content) = result.structured_content else {
            let text = result.content.iter().find_map(|block| block.as_text());
            bail!(
                "{tool}: {}",
                text.map_or("no structured content", |text| &text.text)
            );
        };
        serde_json::from_value(content).with_context(|| format!("the answer of {tool} is not as expected"))
    }
}

/// The version in a runtime's identifier: 18 in `nodejs18.x`.
fn major(runtime: &str) -> u32 {
    let digits = runtime.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits
        .get(..end)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn runtimes_are_ordered_by_number() {
        assert_eq!(["nodejs8.10", "nodejs18.x", "nodejs"].map(major), [8, 18, 0]);
    }
}
