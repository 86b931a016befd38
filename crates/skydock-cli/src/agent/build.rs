//! The agent that the flags describe.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skydock_agent::{
    Agent, Approvals, Budget, Sampling, Upstream,
    client::{Setup, Target},
    identity::{FileKey, Identity, Keys, KmsKey, Signer},
    knowledge::{BedrockKnowledgeBase, Directory, Knowledge},
    model::Model,
    store::{DynamoDb, S3, Sqlite, Store},
};

use super::{
    model::{MODELS, model},
    others,
};
use crate::call::directory;

/// How long a server may take to answer the handshake: a conversation waits for it.
const HANDSHAKE: Duration = Duration::from_secs(10);
const IDENTITIES: &str = "write a file with a key, or arn:aws:kms:…";
const STORES: &str = "write sqlite:FILE, dynamodb://TABLE, s3://BUCKET/PREFIX or memory";
const KNOWLEDGE: &str = "write a folder, or bedrock-kb:ID";

/// Whether something is done without asking.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Rule {
    #[default]
    Ask,
    Allow,
    Never,
}

/// What an agent is made of.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Agent")]
#[group(skip)]
pub struct Flags {
    /// A server with tools: a URL or a command line (repeatable); NAME=… puts NAME before the names of its tools
    #[arg(long = "server", value_name = "[NAME=]TARGET")]
    servers: Vec<String>,
    /// Another agent (A2A) that this one can ask, as the tool ask-NAME (repeatable)
    #[arg(long = "peer", value_name = "NAME=URL")]
    peers: Vec<String>,
    /// The token for another agent, in a file (repeatable)
    #[arg(long = "peer-token", value_name = "NAME=FILE", requires = "peers")]
    peer_tokens: Vec<String>,
    /// The model: bedrock:ID on Amazon Bedrock, openai:URL#NAME behind an OpenAI-compatible API, or scripted:FILE
    #[arg(long, value_name = "MODEL", env = "SKYDOCK_MODEL")]
    model: Option<String>,
    /// Where the key of an openai: model is kept: a file, or env:VARIABLE
    #[arg(
        long,
        value_name = "FILE|env:VARIABLE",
        env = "SKYDOCK_MODEL_KEY",
        hide_env_values = true
    )]
    model_key: Option<String>,
    /// Where conversations are kept: sqlite:FILE, dynamodb://TABLE (?days=30 to forget), s3://BUCKET/PREFIX, or memory [default: sqlite:~/.local/state/skydock/agent.sqlite]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// A file that says who the agent is, in place of the usual words
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// What is looked up before an answer: a folder of .md and .txt files, or bedrock-kb:ID
    #[arg(long, value_name = "KNOWLEDGE", env = "SKYDOCK_KNOWLEDGE")]
    knowledge: Option<String>,
    /// The key that signs in whose name servers are called: a file with a P-256 key (PKCS#8 PEM), or arn:aws:kms:…
    #[arg(long, value_name = "KEY", env = "SKYDOCK_IDENTITY_KEY")]
    identity_key: Option<String>,
    /// Who signs, as servers know it
    #[arg(
        long,
        value_name = "NAME",
        env = "SKYDOCK_IDENTITY_ISSUER",
        default_value = "skydock-agent"
    )]
    identity_issuer: String,
    /// Tools that are called without a question, as a pattern such as get-* (repeatable)
    #[arg(long, value_name = "TOOL")]
    allow: Vec<String>,
    /// Tools that need the user's decision, whatever they say of themselves (repeatable)
    #[arg(long, value_name = "TOOL")]
    ask: Vec<String>,
    /// Tools that are never called (repeatable)
    #[arg(long, value_name = "TOOL")]
    deny: Vec<String>,
    /// Whether servers may have the model answer something for them: ask (you, each time), allow, never
    #[arg(long, value_name = "RULE", value_enum, default_value = "ask")]
    sampling: Rule,
    /// Directory that servers may know of (repeatable)
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<PathBuf>,
    /// How often the model is asked in one turn
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Tokens, read and written, after which a turn ends
    #[arg(long, value_name = "NUMBER")]
    tokens: Option<u64>,
    /// Seconds after which a turn ends
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    time: u64,
    /// Seconds after which a call of a tool ends
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    tool_time: u64,
}

impl Flags {
    /// The agent; what is wrong with the flags is added to the faults.
    pub(crate) async fn build(&self, faults: &mut Vec<String>) -> Option<Agent> {
        let servers = self.upstreams(faults);
        let model = self.model().await.map_err(|fault| faults.push(fault)).ok();
        let store = self.store().await.map_err(|fault| faults.push(fault)).ok();
        let approvals = Approvals::new(&self.allow, &self.ask, &self.deny)
            .map_err(|error| faults.push(error.to_string()))
            .ok();
        let identity = match &self.identity_key {
            Some(key) => keys(key).await.map_err(|fault| faults.push(fault)).ok(),
            None => None,
        };
        let knowledge = match &self.knowledge {
            Some(text) => knowledge(text).await.map_err(|fault| faults.push(fault)).ok(),
            None => None,
        };
        let system = self.system.as_ref().and_then(|file| {
            std::fs::read_to_string(file)
                .map_err(|error| faults.push(format!("--system {} cannot be read: {error}", file.display())))
                .ok()
        });
        let mut agent = Agent::new(model?, store?)
            .with_servers(servers)
            .with_approvals(approvals?)
            .with_sampling(match self.sampling {
                Rule::Ask => Sampling::Ask,
                Rule::Allow => Sampling::Allow,
                Rule::Never => Sampling::Never,
            })
            .with_budget(self.budget());
        if let Some(system) = system {
            agent = agent.with_system(system);
        }
        if let Some(knowledge) = knowledge {
            agent = agent.with_knowledge(knowledge);
        }
        if let Some(keys) = identity {
            agent = agent.with_identity(Identity::new(self.identity_issuer.as_str(), keys));
        }
        Some(agent)
    }

    fn upstreams(&self, faults: &mut Vec<String>) -> Vec<Upstream> {
        let roots: Vec<_> = self
            .roots
            .iter()
            .filter_map(|root| directory(root, faults))
            .collect();
        let mut upstreams = Vec::new();
        for server in &self.servers {
            match upstream(server) {
                Ok(mut upstream) => {
                    upstream.setup.roots.clone_from(&roots);
                    upstreams.push(upstream);
                }
                Err(fault) => faults.push(fault),
            }
        }
        match others::peers(&self.peers, &self.peer_tokens) {
            Ok(peers) => upstreams.extend(peers),
            Err(fault) => faults.push(fault),
        }
        upstreams
    }

    fn budget(&self) -> Budget {
        Budget {
            turns: self.turns,
            tokens: self.tokens,
            time: Duration::from_secs(self.time),
            call: Duration::from_secs(self.tool_time),
            ..Budget::default()
        }
    }

    async fn model(&self) -> Result<Arc<dyn Model>, String> {
        match &self.model {
            Some(text) => model(text, self.model_key.as_deref()).await,
            None => Err(format!("there is no model; add --model: {MODELS}")),
        }
    }

    async fn store(&self) -> Result<Arc<dyn Store>, String> {
        let opened = match self.store.as_deref() {
            None => match skydock::state_file("agent.sqlite") {
                Some(file) => Sqlite::open(&file),
                None => {
                    return Err(format!(
                        "there is no home directory to keep conversations in; {STORES}"
                    ));
                }
            },
            Some("memory") => Sqlite::in_memory(),
            Some(store) if store.starts_with("dynamodb://") || store.starts_with("s3://") => {
                return in_aws(store).await;
            }
            Some(store) => match store.strip_prefix("sqlite:") {
                Some(file) if !file.is_empty() => Sqlite::open(file.as_ref()),
                _ => return Err(format!("--store {store:?} is no store; {STORES}")),
            },
        };
        let store = opened.map_err(|error| format!("--store: {}", skydock_agent::client::tell(&error)))?;
        Ok(Arc::new(store))
    }
}

/// A store in AWS.
async fn in_aws(text: &str) -> Result<Arc<dyn Store>, String> {
    let wrong = || format!("--store {text:?} is no store; {STORES}");
    if let Some(place) = text.strip_prefix("s3://") {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() || place.contains(['?', '#']) {
            return Err(wrong());
        }
        return Ok(Arc::new(S3::connect(bucket, prefix).await));
    }
    let table = text.strip_prefix("dynamodb://").ok_or_else(wrong)?;
    let (table, days) = match table.split_once("?days=") {
        Some((table, days)) => (table, Some(days)),
        None => (table, None),
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if table.is_empty() || !table.chars().all(letter) {
        return Err(wrong());
    }
    let store = DynamoDb::connect(table).await;
    let Some(days) = days else {
        return Ok(Arc::new(store));
    };
    match days.parse::<u32>() {
        Ok(days) if days > 0 => {
            let life = Duration::from_secs(u64::from(days) * 86_400);
            Ok(Arc::new(store.with_life(life)))
        }
        _ => Err(format!("--store {text:?}: days is a whole number greater than 0")),
    }
}

/// What `--knowledge` names.
async fn knowledge(text: &str) -> Result<Arc<dyn Knowledge>, String> {
    if let Some(id) = text.strip_prefix("bedrock-kb:") {
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("--knowledge {text:?} is no knowledge base; {KNOWLEDGE}"));
        }
        return Ok(Arc::new(BedrockKnowledgeBase::connect(id).await));
    }
    let directory = Directory::open(Path::new(text));
    let directory =
        directory.map_err(|error| format!("--knowledge: {}", skydock_agent::client::tell(&error)))?;
    Ok(Arc::new(directory))
}

/// The key that `--identity-key` names.
pub(super) async fn keys(text: &str) -> Result<Keys, String> {
    let signer: Result<Arc<dyn Signer>, _> = if text.starts_with("arn:") {
        if text.split(':').nth(2) != Some("kms") {
            return Err(format!("--identity-key {text:?} is no key of KMS; {IDENTITIES}"));
        }
        KmsKey::open(text).await.map(|key| Arc::new(key) as _)
    } else {
        FileKey::open(Path::new(text)).map(|key| Arc::new(key) as _)
    };
    let signer =
        signer.map_err(|error| format!("--identity-key: {}", skydock_agent::client::tell(&error)))?;
    Ok(Keys::new(signer))
}

/// A server as it is written: `NAME=TARGET`, or a target alone.
fn upstream(text: &str) -> Result<Upstream, String> {
    let named = text.split_once('=').filter(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    });
    let (prefix, target) = match named {
        Some((name, target)) => (Some(name.to_owned()), target),
        None => (None, text),
    };
    let target = Target::parse(target).map_err(|error| format!("--server {text:?}: {error}"))?;
    let setup = Setup {
        patience: HANDSHAKE,
        ..Setup::default()
    };
    Ok(Upstream {
        prefix,
        target,
        setup,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_have_a_name() {
        let read = |text: &str| upstream(text).map(|upstream| (upstream.prefix, upstream.target.to_string()));
        let url = "http://127.0.0.1:8000/mcp?a=b".to_owned();
        assert_eq!(
            read(&format!("x={url}")).unwrap(),
            (Some("x".to_owned()), url.clone())
        );
        assert_eq!(read(&url).unwrap(), (None, url));
        assert_eq!(read("env A=b prog").unwrap(), (None, "env A=b prog".to_owned()));
        assert!(read("x=").is_err());
    }
}
