//! The tools of all servers, as one list for a model.

mod desk;
mod names;
mod server;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::join_all;
use reqwest::header::AUTHORIZATION;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, ResourceContents, Tool, ToolAnnotations,
};
use serde_json::Value;

pub(crate) use self::desk::Desk;
use self::server::{Broken, Offer, Server};
pub use self::{
    desk::{Reply, Sampling},
    server::Upstream,
};
use crate::{
    approval,
    client::{Target, Tokens},
    message::{ToolCall, ToolResult},
    model::Spec,
};

/// How much of a result a model reads, in bytes.
const LONGEST_RESULT: usize = 64 * 1024;

/// The servers of a conversation and what they have.
#[derive(Debug)]
pub(crate) struct Toolbox {
    servers: Vec<Server>,
    shelf: Mutex<Arc<Shelf>>,
}

/// What there is, in a stable order.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// What the model is told.
    pub(crate) specs: Vec<Spec>,
    tools: BTreeMap<String, Arc<Entitled>>,
    /// How servers want to be used.
    pub(crate) instructions: Vec<(String, String)>,
    /// Servers that are not there, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// What this was made of.
    offers: Vec<Option<Arc<Offer>>>,
}

/// A tool and the server that has it.
#[derive(Debug)]
pub(crate) struct Entitled {
    server: Server,
    tool: Tool,
}

/// Two tools would have one name.
#[derive(Debug, thiserror::Error)]
#[error(
    "the tool {name:?} is offered by {first} and by {second}; {}",
    remedy(first, second)
)]
pub struct Collision {
    name: String,
    first: String,
    second: String,
}

fn remedy(first: &str, second: &str) -> String {
    if first == second {
        return "models cannot tell two of its tools apart by their names, so leave this server out"
            .to_owned();
    }
    format!("give one of them a name of its own, such as other={second}")
}

impl Entitled {
    pub(crate) fn server(&self) -> String {
        self.server.upstream().name()
    }

    pub(crate) fn title(&self) -> Option<String> {
        let annotated = || {
            self.tool
                .annotations
                .as_ref()
                .and_then(|given| given.title.clone())
        };
        self.tool.title.clone().or_else(annotated)
    }

    pub(crate) fn annotations(&self) -> Option<&ToolAnnotations> {
        self.tool.annotations.as_ref()
    }

    pub(crate) fn is_repeatable(&self) -> bool {
        approval::is_repeatable(self.annotations())
    }

    pub(crate) fn is_read_only(&self) -> bool {
        approval::is_read_only(self.annotations())
    }

    /// Calls it; whatever happens is an answer.
    pub(crate) async fn call(&self, call: &ToolCall) -> ToolResult {
        let mut params = CallToolRequestParams::new(self.tool.name.clone());
        if let Value::Object(arguments) = &call.input {
            params = params.with_arguments(arguments.clone());
        }
        match self.server.call(params, self.is_repeatable()).await {
            Ok(result) => read(&call.id, &result),
            Err(Broken::Answer(text)) => ToolResult::error(&call.id, text),
            Err(Broken::Unreachable(why)) => {
                let text = format!(
                    "{} cannot be reached, so the call was not made: {why}",
                    self.server()
                );
                ToolResult::error(&call.id, text)
            }
            Err(Broken::Unknown(why)) => ToolResult::error(&call.id, unknown(&why)),
        }
    }
}

/// What is said of a call that may have been made.
pub(crate) fn unknown(why: &str) -> String {
    format!("It is not known whether this call did what it was to do ({why}). Look before you call it again.")
}

impl Toolbox {
    /// The servers, which are told by `tokens` in whose name they are called, unless they have a token of their own.
    pub(crate) fn new(upstreams: &[Upstream], tokens: Option<&Arc<dyn Tokens>>, desk: &Arc<Desk>) -> Self {
        let server = |upstream: &Upstream| {
            let mut upstream = upstream.clone();
            let setup = &mut upstream.setup;
            let given = setup.bearer.is_some() || setup.headers.contains_key(&AUTHORIZATION);
            // a name in the URL is sent in the same header
            if matches!(&upstream.target, Target::Url(url) if url.username().is_empty())
                && setup.tokens.is_none()
                && !given
            {
                setup.tokens = tokens.cloned();
            }
            Server::new(upstream, desk)
        };
        Self {
            servers: upstreams.iter().map(server).collect(),
            shelf: Mutex::default(),
        }
    }

    /// What there is. Servers are asked, all at once, the first time, when they say that they have other tools, and
    /// when they were not there before.
    ///
    /// # Errors
    /// When two tools would have one name.
    pub(crate) async fn shelf(&self) -> Result<Arc<Shelf>, Collision> {
        let offers = join_all(self.servers.iter().map(Server::offer)).await;
        let current = Arc::clone(&self.shelf.lock().unwrap_or_else(PoisonError::into_inner));
        let same = current.offers.len() == offers.len()
            && current
                .offers
                .iter()
                .zip(&offers)
                .all(|(known, offer)| match (known, offer) {
                    (Some(known), Ok(offer)) => Arc::ptr_eq(known, offer),
                    (None, Err(_)) => true,
                    _ => false,
                });
        if same {
            return Ok(current);
        }
        let shelf = Arc::new(Shelf::new(&self.servers, offers)?);
        *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&shelf);
        Ok(shelf)
    }

    /// Ends all connections in order.
    pub(crate) async fn close(&self) {
        join_all(self.servers.iter().map(Server::close)).await;
    }
}

impl Shelf {
    fn new(servers: &[Server], offers: Vec<Result<Arc<Offer>, String>>) -> Result<Self, Collision> {
        let mut shelf = Self::default();
        for (server, offer) in servers.iter().zip(offers) {
            let upstream = server.upstream();
            let offer = match offer {
                Ok(offer) => offer,
                Err(why) => {
                    shelf.missing.push((upstream.name(), why));
                    shelf.offers.push(None);
                    continue;
                }
            };
            if let Some(instructions) = &offer.instructions {
                shelf.instructions.push((upstream.name(), instructions.clone()));
            }
            for tool in &offer.tools {
                let name = names::safe(upstream.prefix.as_deref(), &tool.name);
                let (server, tool) = (server.clone(), tool.clone());
                match shelf.tools.entry(name) {
                    Entry::Vacant(place) => drop(place.insert(Arc::new(Entitled { server, tool }))),
                    Entry::Occupied(taken) => {
                        return Err(Collision {
                            name: taken.key().clone(),
                            first: taken.get().server(),
                            second: upstream.name(),
                        });
                    }
                }
            }
            shelf.offers.push(Some(offer));
        }
        let spec = |(name, entry): (&String, &Arc<Entitled>)| Spec {
            name: name.clone(),
            description: entry.tool.description.as_deref().unwrap_or_default().to_owned(),
            schema: Arc::clone(&entry.tool.input_schema),
        };
        shelf.specs = shelf.tools.iter().map(spec).collect();
        Ok(shelf)
    }

    /// The tool of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entitled>> {
        self.tools.get(name)
    }

    /// All tools, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entitled)> {
        self.tools.iter().map(|(name, entry)| (name.as_str(), &**entry))
    }
}

/// What a model reads of a result.
fn read(id: &str, result: &CallToolResult) -> ToolResult {
    let mut text = result.content.iter().map(words).collect::<Vec<_>>().join("\n");
    if let (true, Some(structured)) = (text.is_empty(), &result.structured_content) {
        text = structured.to_string();
    }
    if text.len() > LONGEST_RESULT {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(LONGEST_RESULT));
        text.push_str(&format!("\n[cut: {LONGEST_RESULT} of {whole} bytes are shown]"));
    }
    ToolResult {
        id: id.to_owned(),
        text,
        // what is cut for the model is of no use to programs either
        structured: result
            .structured_content
            .clone()
            .filter(|structured| structured.to_string().len() <= LONGEST_RESULT),
        is_error: result.is_error == Some(true),
    }
}

fn words(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("{uri}\n{text}"),
            _ => "[a resource that is no text]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}]({})", link.name, link.uri),
        ContentBlock::Image(image) => format!("[an image, {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[audio, {}]", audio.mime_type),
        _ => "[content of a kind that is not known]".to_owned(),
    }
}
