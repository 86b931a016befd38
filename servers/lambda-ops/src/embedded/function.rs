//! One function of the embedded account, and its JSON.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};

use super::{behaviour::Behaviour, state::arn};

/// Everything about a function.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) description: String,
    /// None for a container image.
    pub(super) runtime: Option<String>,
    pub(super) handler: String,
    pub(super) role: String,
    pub(super) memory: i64,
    pub(super) timeout: i64,
    pub(super) architecture: String,
    pub(super) layers: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) code_size: i64,
    pub(super) code_sha256: String,
    pub(super) last_modified: String,
    pub(super) revision: String,
    pub(super) update: Update,
    pub(super) behaviour: Behaviour,
    /// Published versions, from 1 on.
    pub(super) versions: Vec<Version>,
    pub(super) aliases: BTreeMap<String, Alias>,
}

/// A published version: the function as it was.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) frozen: Box<Function>,
}

/// A name for a version.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) version: String,
    pub(super) description: String,
    pub(super) revision: String,
}

/// Where the last update stands.
#[derive(Debug, Clone)]
pub(super) enum Update {
    Successful,
    InProgress {
        before: Option<String>,
        reads_left: u32,
        until: Instant,
        fate: super::faults::Fate,
    },
    Failed {
        before: Option<String>,
        reason: String,
    },
}

impl Function {
    pub(super) fn arn(&self) -> String {
        arn(&self.name)
    }

    /// Moves the update on, as time and reads go by. Called with each read.
    pub(super) fn read(&mut self) {
        let Update::InProgress {
            before,
            reads_left,
            until,
            fate,
        } = &mut self.update
        else {
            return;
        };
        *reads_left = reads_left.saturating_sub(1);
        if *reads_left > 0 || Instant::now() < *until {
            return;
        }
        match fate {
            super::faults::Fate::NeverSettles => {}
            super::faults::Fate::Succeeds => self.update = Update::Successful,
            super::faults::Fate::Fails(reason) => {
                self.update = Update::Failed {
                    before: before.take(),
                    reason: std::mem::take(reason),
                };
            }
        }
    }

    pub(super) fn is_updating(&self) -> bool {
        matches!(self.update, Update::InProgress { .. })
    }

    /// The runtime that runs: an update takes effect only when it has settled.
    pub(super) fn runtime_in_force(&self) -> Option<&str> {
        match &self.update {
            Update::Successful => self.runtime.as_deref(),
            Update::InProgress { before, .. } | Update::Failed { before, .. } => before.as_deref(),
        }
    }

    /// The configuration as `ListFunctions` gives it: without state.
    pub(super) fn listed(&self, version: &str) -> Value {
        let mut json = json!({
            "FunctionName": self.name,
            "FunctionArn": if version == "$LATEST" { self.arn() } else { format!("{}:{version}", self.arn()) },
            "Description": self.description,
            "Role": self.role,
            "CodeSize": self.code_size,
            "CodeSha256": self.code_sha256,
            "MemorySize": self.memory,
            "Timeout": self.timeout,
            "LastModified": self.last_modified,
            "Version": version,
            "RevisionId": self.revision,
            "PackageType": if self.runtime.is_some() { "Zip" } else { "Image" },
            "Architectures": [self.architecture],
            "EphemeralStorage": { "Size": 512 },
            "TracingConfig": { "Mode": "PassThrough" },
            "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
            "LoggingConfig": { "LogFormat": "Text", "LogGroup": format!("/aws/lambda/{}", self.name) },
        });
        let mut add = |key: &str, value: Value| {
            json.as_object_mut()
                .map(|object| object.insert(key.to_owned(), value))
        };
        if let Some(runtime) = &self.runtime {
            add("Runtime", json!(runtime));
            add("Handler", json!(self.handler));
        }
        if !self.environment.is_empty() {
            add("Environment", json!({ "Variables": self.environment }));
        }
        if !self.layers.is_empty() {
            let layers: Vec<Value> = self
                .layers
                .iter()
                .map(|arn| json!({ "Arn": arn, "CodeSize": 184_320 }))
                .collect();
            add("Layers", json!(layers));
        }
        json
    }

    /// The configuration as `GetFunctionConfiguration` gives it.
    pub(super) fn configuration(&self, version: &str) -> Value {
        let mut json = self.listed(version);
        let mut add = |key: &str, value: &str| {
            json.as_object_mut()
                .map(|o| o.insert(key.to_owned(), json!(value)))
        };
        add("State", "Active");
        match &self.update {
            Update::Successful => add("LastUpdateStatus", "Successful"),
            Update::InProgress { .. } => {
                add("LastUpdateStatusReason", "The function is being updated.");
                add("LastUpdateStatusReasonCode", "Updating");
                add("LastUpdateStatus", "InProgress")
            }
            Update::Failed { reason, .. } => {
                add("LastUpdateStatusReason", reason);
                add("LastUpdateStatusReasonCode", "InternalError");
                add("LastUpdateStatus", "Failed")
            }
        };
        json
    }
}
