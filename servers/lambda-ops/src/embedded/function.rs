//! One function of the embedded account, and its JSON.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};

use super::{behaviour::Behaviour, state::arn};

/// Everything about a function.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) region: String,
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
    /// True if published versions start from a snapshot (SnapStart).
    pub(super) snap_start: bool,
    /// Of a published version: how long AWS still prepares it.
    pub(super) starting: Option<Starting>,
    /// Of a replica of Lambda@Edge: the function that it is a copy of.
    pub(super) master_arn: Option<String>,
    /// Its reserved concurrency.
    pub(super) reserved: Option<i32>,
    pub(super) event_sources: Vec<EventSource>,
}

/// A version that AWS still prepares.
#[derive(Debug, Clone)]
pub(super) struct Starting {
    pub(super) reads_left: u32,
    pub(super) until: Instant,
}

/// A stream or queue that a function reads from.
#[derive(Debug, Clone)]
pub(super) struct EventSource {
    pub(super) arn: String,
    pub(super) state: &'static str,
    pub(super) batch_size: i32,
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
    /// Other versions that get a part of the traffic, from 0 to 1.
    pub(super) weights: BTreeMap<String, f64>,
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
    /// A function in `region` that has nothing yet.
    pub(super) fn plain(region: &str) -> Self {
        Self {
            name: String::new(),
            region: region.to_owned(),
            description: String::new(),
            runtime: None,
            handler: String::new(),
            role: String::new(),
            memory: 128,
            timeout: 3,
            architecture: "x86_64".to_owned(),
            layers: Vec::new(),
            environment: BTreeMap::new(),
            tags: BTreeMap::new(),
            code_size: 0,
            code_sha256: String::new(),
            last_modified: String::new(),
            revision: String::new(),
            update: Update::Successful,
            behaviour: Behaviour::created(None, ""),
            versions: Vec::new(),
            aliases: BTreeMap::new(),
            snap_start: false,
            starting: None,
            master_arn: None,
            reserved: None,
            event_sources: Vec::new(),
        }
    }

    pub(super) fn arn(&self) -> String {
        arn(&self.region, &self.name)
    }

    /// Moves what is under way on, as time and reads go by. Called with each read.
    pub(super) fn read(&mut self) {
        if let Some(Starting { reads_left, until }) = &mut self.starting {
            *reads_left = reads_left.saturating_sub(1);
            if *reads_left == 0 && Instant::now() >= *until {
                self.starting = None;
            }
        }
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
            "SnapStart": self.snap_start_json(version),
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
        if let Some(master) = &self.master_arn {
            add("MasterArn", json!(master));
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

    fn snap_start_json(&self, version: &str) -> Value {
        let is_on = self.snap_start && version != "$LATEST" && self.starting.is_none();
        json!({
            "ApplyOn": if self.snap_start { "PublishedVersions" } else { "None" },
            "OptimizationStatus": if is_on { "On" } else { "Off" },
        })
    }

    /// The configuration as `GetFunctionConfiguration` gives it.
    pub(super) fn configuration(&self, version: &str) -> Value {
        let mut json = self.listed(version);
        let mut add = |key: &str, value: &str| {
            json.as_object_mut()
                .map(|o| o.insert(key.to_owned(), json!(value)))
        };
        if self.starting.is_some() {
            add("State", "Pending");
            add("StateReasonCode", "Creating");
            add("StateReason", "The function is being created.");
        } else {
            add("State", "Active");
        }
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
