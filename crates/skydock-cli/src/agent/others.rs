//! Other agents, by Agent2Agent: those that ask ours, and those that ours asks.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use reqwest::Url;
use skydock_agent::{
    Agent, Upstream,
    a2a::{
        self, Assistant, Peer, Peers, Service,
        protocol::AgentSkill,
        push::{Push, Signer},
        store::{DynamoDb, Sqlite, Tasks},
    },
    client::{Local, Setup, Target, tell},
};

const STORES: &str = "write sqlite:FILE, dynamodb://TABLE or memory";

/// How others ask this agent.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Agent2Agent")]
#[group(skip)]
pub(super) struct Flags {
    /// Answer other agents too (A2A 1.0), which reach it at this URL; without a value at the address it listens on
    #[arg(
        long = "a2a",
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = "",
        env = "SKYDOCK_A2A"
    )]
    url: Option<String>,
    /// What it does, for its card
    #[arg(
        long = "a2a-description",
        value_name = "TEXT",
        default_value = "An assistant that works with tools."
    )]
    description: String,
    /// What others can ask it for, for its card (repeatable)
    #[arg(long = "a2a-skill", value_name = "NAME=DESCRIPTION", requires = "url")]
    skills: Vec<String>,
    /// Where their tasks are kept: sqlite:FILE, dynamodb://TABLE or memory [default: memory]
    #[arg(long = "a2a-tasks", value_name = "STORE", requires = "url")]
    tasks: Option<String>,
    /// Tell their webhooks, signed with this key: P-256 as PEM in PKCS#8
    #[arg(long = "a2a-push-key", value_name = "FILE", requires = "url")]
    push_key: Option<std::path::PathBuf>,
    /// An origin of webhooks that may be in a private network or without TLS, such as http://127.0.0.1:9000 (repeatable)
    #[arg(long = "a2a-push-trust", value_name = "ORIGIN", requires = "push_key")]
    push_trust: Vec<String>,
}

impl Flags {
    /// Whether all environments of a Lambda function know the tasks.
    ///
    /// # Errors
    /// What is wrong with where they are kept.
    pub(super) fn check_for_lambda(&self) -> Result<(), String> {
        let store = self.tasks.as_deref().unwrap_or("memory");
        if self.url.is_none() || store.starts_with("dynamodb://") {
            return Ok(());
        }
        Err(format!(
            "--a2a-tasks {store:?}: in AWS Lambda each environment has a memory and files of its own; write dynamodb://TABLE"
        ))
    }

    /// The service that answers others; `None` when nobody is to be answered. `name` is the agent's.
    ///
    /// # Errors
    /// What is wrong with the flags, and what helps.
    pub(super) async fn service(
        &self,
        agent: Agent,
        name: &str,
        listen: Option<SocketAddr>,
    ) -> Result<Option<Service>, String> {
        let Some(url) = &self.url else { return Ok(None) };
        let url = match (url.as_str(), listen) {
            // which port it is when the system chooses one is not known yet
            ("", Some(address)) if address.port() != 0 => format!("http://{address}"),
            ("", _) => return Err("--a2a needs a value here: the URL where others reach it".to_owned()),
            (url, _) if url.starts_with("http://") || url.starts_with("https://") => url.to_owned(),
            (url, _) => {
                return Err(format!(
                    "--a2a {url:?} is no URL such as https://agent.example.com"
                ));
            }
        };
        let skills = self.skills.iter().map(|skill| read_skill(skill));
        let skills = skills.collect::<Result<Vec<_>, _>>()?;
        let card = a2a::card(name, &self.description, &url, skills);
        let tasks = open(self.tasks.as_deref()).await?;
        let mut service = Service::new(card, tasks, Arc::new(Assistant::new(agent)));
        if let Some(file) = &self.push_key {
            let push = Push::new(signer(file, &url)?).with_trusted(self.push_trust.clone());
            service = service.with_push(push);
        }
        Ok(Some(service))
    }
}

fn signer(file: &Path, issuer: &str) -> Result<Signer, String> {
    let wrong = |reason: String| format!("--a2a-push-key {}: {reason}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    Signer::from_pem(&pem, issuer).map_err(|error| wrong(tell(&error)))
}

fn read_skill(text: &str) -> Result<AgentSkill, String> {
    let named = text
        .split_once('=')
        .filter(|(name, rest)| !name.is_empty() && !rest.is_empty());
    let Some((name, description)) = named else {
        return Err(format!(
            "--a2a-skill {text:?} is not of the form NAME=DESCRIPTION"
        ));
    };
    let id = name.to_lowercase().replace(' ', "-");
    Ok(AgentSkill {
        id: id.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        tags: vec![id],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    })
}

async fn open(text: Option<&str>) -> Result<Arc<dyn Tasks>, String> {
    let named = |scheme| {
        text.and_then(|text| text.strip_prefix(scheme))
            .filter(|name: &&str| !name.is_empty())
    };
    let opened = match text {
        None | Some("memory") => Sqlite::in_memory(),
        Some(store) => {
            if let Some(table) = named("dynamodb://") {
                return Ok(Arc::new(DynamoDb::connect(table).await));
            }
            match named("sqlite:") {
                Some(file) => Sqlite::open(file.as_ref()),
                None => return Err(format!("--a2a-tasks {store:?} is no store; {STORES}")),
            }
        }
    };
    let store = opened.map_err(|error| format!("--a2a-tasks: {}", tell(&error)))?;
    Ok(Arc::new(store))
}

/// Other agents as tools of ours, `NAME=URL` each; their tokens are in files, `NAME=FILE` each.
///
/// # Errors
/// What is wrong with them, and what helps.
pub(super) fn peers(peers: &[String], tokens: &[String]) -> Result<Option<Upstream>, String> {
    let mut known = Vec::new();
    for text in peers {
        let wrong = || {
            format!(
                "--peer {text:?} is not of the form NAME=URL, such as finance=https://finance.example.com"
            )
        };
        let (name, url) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(wrong)?;
        let url = Url::parse(url).map_err(|_not_one| wrong())?;
        known.push(Peer::new(name, url));
    }
    for text in tokens {
        let wrong = |reason: &str| format!("--peer-token {text:?}: {reason}");
        let (name, file) = text
            .split_once('=')
            .ok_or_else(|| wrong("it is not of the form NAME=FILE"))?;
        let peer = known.iter_mut().find(|peer| peer.name == name);
        let peer = peer.ok_or_else(|| wrong("there is no --peer of this name"))?;
        let token = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
        peer.bearer = Some(token.trim().to_owned());
    }
    if known.is_empty() {
        return Ok(None);
    }
    // an answer may take as long as the other agent is waited for
    let patience = known.iter().map(|peer| peer.patience).max().unwrap_or_default();
    let setup = Setup {
        request_patience: patience.saturating_add(Duration::from_secs(30)),
        ..Setup::default()
    };
    Ok(Some(Upstream {
        prefix: None,
        target: Target::Local(Local::new("other agents", Peers::new(known))),
        setup,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_and_wrong_ones_say_so() {
        let words = |text: &str| vec![text.to_owned()];
        assert_eq!(peers(&[], &[]).unwrap().map(|_| ()), None);
        assert!(
            peers(&words("finance=http://127.0.0.1:9"), &[])
                .unwrap()
                .is_some()
        );
        assert!(
            peers(&words("http://127.0.0.1:9"), &[])
                .unwrap_err()
                .contains("NAME=URL")
        );
        let fault = peers(&words("a=http://b"), &words("c=/x")).unwrap_err();
        assert!(fault.contains("no --peer of this name"), "{fault}");
    }
}
