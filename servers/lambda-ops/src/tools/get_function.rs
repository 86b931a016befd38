//! `get-function`: all there is to know about one function, without anything that may be secret.

use futures::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{
    LambdaOps,
    account::{self, Account, Configuration, FunctionName, Tags, UpdateState},
    owner::Owner,
};

/// How many published versions are shown: the newest.
const VERSIONS: usize = 50;

const IMAGE: &str = "a container image: its runtime is inside the image, so it is moved to another by building and \
                     deploying the image anew; update-function-runtime cannot change it";
const REPLICA: &str =
    "a replica of Lambda@Edge: it is changed by publishing its master and distributing it anew";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// The name or ARN of the function to look at.
    function_name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    name: String,
    arn: String,
    version: Option<String>,
    description: Option<String>,
    /// null for container images.
    runtime: Option<String>,
    /// Zip or Image.
    package_type: String,
    /// What is special about this kind of function.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    handler: Option<String>,
    /// The ARN of the role it runs as.
    role: Option<String>,
    /// MiB.
    memory_size: Option<i32>,
    /// Seconds.
    timeout: Option<i32>,
    architectures: Vec<String>,
    layers: Vec<Layer>,
    /// The names of the environment variables. Their values are never shown.
    environment_variable_names: Vec<String>,
    /// null: this server may not read them.
    tags: Option<Tags>,
    /// Whose template it is of, as the tags tell. A change that is not in the template is undone by the next deployment.
    /// null: no tag tells of an owner, or they may not be read; it may have one all the same.
    owner: Option<Owner>,
    /// The newest published versions, the newest first. null: this server may not read them.
    versions: Option<Vec<Version>>,
    /// How many older versions there are beside these.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_versions: Option<usize>,
    /// null: this server may not read them.
    aliases: Option<Vec<Alias>>,
    /// The streams and queues it reads from. Triggers that push (an API, a bucket, a topic) are not known to Lambda. null:
    /// this server may not read them.
    event_sources: Option<Vec<EventSource>>,
    /// How many instances are kept free for it, which is its limit too. null: it shares the account's.
    reserved_concurrency: Option<i32>,
    /// True if published versions start from a snapshot (SnapStart).
    snap_start: bool,
    /// For a replica of Lambda@Edge, the ARN of its master.
    #[serde(skip_serializing_if = "Option::is_none")]
    master_arn: Option<String>,
    /// Active, Pending, Inactive or Failed.
    state: Option<String>,
    /// Successful, InProgress or Failed.
    last_update_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason: Option<String>,
    /// Changes with every change of the function.
    revision_id: Option<String>,
    last_modified: Option<String>,
    /// The calls that this server may not make, so that what they tell is missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_permitted: Vec<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Layer {
    arn: String,
    /// What its author made it for; empty: they did not say. Left out: it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_runtimes: Option<Vec<String>>,
    /// What its author made it for; empty: they did not say. Left out: it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_architectures: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: String,
    runtime: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Alias {
    name: String,
    version: String,
    /// Other versions that get a part of its traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional_weights: Vec<Weight>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Weight {
    version: String,
    /// From 0 to 1.
    weight: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventSource {
    arn: Option<String>,
    state: Option<String>,
    batch_size: Option<i32>,
}

pub(super) async fn run(server: &LambdaOps, input: Input) -> Result<Output, Failure> {
    look(server, &FunctionName::parse(&input.function_name)?).await
}

/// Everything that may be read of the function; what may not is named.
pub(crate) async fn look(server: &LambdaOps, name: &FunctionName) -> Result<Output, Failure> {
    let account = &server.account;
    if let Some(there) = name.region().filter(|there| *there != account.region()) {
        return Err(Failure::Elsewhere {
            name: name.to_string(),
            there: there.to_owned(),
            here: account.region().to_owned(),
        });
    }
    let found = account.configuration(name).await?;
    // Versions and aliases have no parts of their own: these are asked of the function.
    let whole = name.whole();
    let (tags, versions, aliases, sources, concurrency, layers) = tokio::join!(
        account.tags(&found.arn),
        account.versions(&whole),
        account.aliases(&whole),
        account.event_sources(&whole),
        account.concurrency(&whole),
        layers(account, &found.layers),
    );
    let mut denied = Denied::default();
    let tags = denied.or(tags)?;
    let versions = denied.or(versions)?;
    let aliases = denied.or(aliases)?;
    let sources = denied.or(sources)?;
    let concurrency = denied.or(concurrency)?;
    let layers: Vec<Layer> = layers
        .into_iter()
        .map(|(arn, layer)| denied.layer(arn, layer))
        .collect::<Result<_, _>>()?;
    let mut output = Output {
        owner: tags.as_ref().and_then(Owner::of),
        tags,
        aliases: aliases.map(|all| all.into_iter().map(alias).collect()),
        event_sources: sources.map(|all| all.into_iter().map(event_source).collect()),
        reserved_concurrency: concurrency.and_then(|concurrency| concurrency.reserved),
        layers,
        not_permitted: denied.0,
        ..configured(found)
    };
    if let Some(versions) = versions {
        (output.versions, output.older_versions) = newest(versions);
    }
    Ok(output)
}

type Read = (String, Result<account::Layer, account::Error>);

async fn layers(account: &Account, arns: &[String]) -> Vec<Read> {
    let read = arns
        .iter()
        .map(async |arn| (arn.clone(), account.layer(arn).await));
    join_all(read).await
}

/// The calls that were denied, each once.
#[derive(Default)]
struct Denied(Vec<&'static str>);

impl Denied {
    /// The part, or none if it may not be read.
    fn or<T>(&mut self, part: Result<T, account::Error>) -> Result<Option<T>, account::Error> {
        match part {
            Err(error) => match error {
                account::Error::Denied { operation, .. } => {
                    // the cause goes to the operator's log; here the name of the call is enough
                    drop(error.say());
                    if !self.0.contains(&operation) {
                        self.0.push(operation);
                    }
                    Ok(None)
                }
                error => Err(error),
            },
            Ok(part) => Ok(Some(part)),
        }
    }

    /// A layer that was deleted goes on working where it is in use, but cannot be read.
    fn layer(
        &mut self,
        arn: String,
        read: Result<account::Layer, account::Error>,
    ) -> Result<Layer, account::Error> {
        let read = match read {
            Err(account::Error::NotFound { .. }) => None,
            read => self.or(read)?,
        };
        let (runtimes, architectures) = read.map(|layer| (layer.runtimes, layer.architectures)).unzip();
        Ok(Layer {
            arn,
            compatible_runtimes: runtimes,
            compatible_architectures: architectures,
        })
    }
}

/// What the configuration alone tells.
fn configured(found: Configuration) -> Output {
    let (last_update_status, last_update_status_reason) = match found.last_update {
        UpdateState::Successful => ("Successful", None),
        UpdateState::InProgress => ("InProgress", None),
        UpdateState::Failed(reason) => ("Failed", Some(reason)),
    };
    let hint = match (&found.master_arn, found.package_type.as_str()) {
        (Some(_), _) => Some(REPLICA),
        (None, "Image") => Some(IMAGE),
        _ => None,
    };
    Output {
        name: found.name,
        arn: found.arn,
        version: found.version,
        description: found.description,
        runtime: found.runtime,
        package_type: found.package_type,
        hint,
        handler: found.handler,
        role: found.role,
        memory_size: found.memory_size,
        timeout: found.timeout,
        architectures: found.architectures,
        layers: Vec::new(),
        environment_variable_names: found.environment_names,
        tags: None,
        owner: None,
        versions: None,
        older_versions: None,
        aliases: None,
        event_sources: None,
        reserved_concurrency: None,
        snap_start: found.snap_start,
        master_arn: found.master_arn,
        state: found.state,
        last_update_status,
        last_update_status_reason,
        revision_id: found.revision_id,
        last_modified: found.last_modified,
        not_permitted: Vec::new(),
    }
}

/// The newest published versions, and how many older ones there are if any.
fn newest(all: Vec<account::Version>) -> (Option<Vec<Version>>, Option<usize>) {
    let mut published: Vec<Version> = all
        .into_iter()
        .filter(|version| version.version != "$LATEST")
        .map(|version| Version {
            version: version.version,
            runtime: version.runtime,
        })
        .collect();
    published.reverse();
    let older = published.len().saturating_sub(VERSIONS);
    published.truncate(VERSIONS);
    (Some(published), (older > 0).then_some(older))
}

fn alias(alias: account::Alias) -> Alias {
    let weight = |(version, weight)| Weight { version, weight };
    Alias {
        name: alias.name,
        version: alias.version,
        additional_weights: alias.weights.into_iter().map(weight).collect(),
    }
}

fn event_source(source: account::EventSource) -> EventSource {
    EventSource {
        arn: source.arn,
        state: source.state,
        batch_size: source.batch_size,
    }
}
