//! The verb `call`: what a server offers, or one call of what it offers.

mod answer;
mod arguments;
mod connection;
mod desk;
mod listing;
mod suggest;

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use rmcp::model::{
    CallToolRequestParams, GetPromptRequestParams, ReadResourceRequestParams, ServerCapabilities,
};
use serde_json::{Map, Value};
use skydock_agent::client::{Client, Loopback, Target};

pub(crate) use self::answer::write_json;
use self::arguments::Signature;
pub use self::connection::Connection;
pub(crate) use self::connection::directory;
pub(crate) use self::desk::Desk;
use crate::{screen, usage::Usage};

/// List what an MCP server offers, or call one of its tools
///
/// TARGET is a URL (`http://127.0.0.1:8000` means `http://127.0.0.1:8000/mcp`) or a command line in one word.
/// Without TOOL, the tools, resources, templates and prompts are listed.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "skydock call [OPTIONS] TARGET [TOOL] [KEY=VALUE]...\n       \
                      skydock call [OPTIONS] --stdio COMMAND [TOOL] [KEY=VALUE]...",
    after_help = "Examples:\n  \
        skydock call http://127.0.0.1:8000/mcp\n  \
        skydock call http://127.0.0.1:8000/mcp list-functions runtime=nodejs18.x\n  \
        skydock call 'uvx mcp-server-git --repository .' git_status repo_path=.\n  \
        skydock call --stdio pizza order-pizza --json @order.json --answer address='Main St 1'"
)]
pub struct Args {
    /// The target, the tool, and its arguments
    #[arg(value_name = "TARGET [TOOL] [KEY=VALUE]")]
    words: Vec<String>,
    /// Start this command line as the server, in place of TARGET
    #[arg(long, value_name = "COMMAND")]
    stdio: Option<String>,
    /// The arguments as a JSON object, from a file (@FILE) or from stdin (-)
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// Get this prompt instead of calling a tool
    #[arg(long, value_name = "NAME", conflicts_with = "resource")]
    prompt: Option<String>,
    /// Read this resource instead of calling a tool
    #[arg(long, value_name = "URI", conflicts_with = "json")]
    resource: Option<String>,
    /// Answer a question that the server asks meanwhile (repeatable)
    #[arg(long = "answer", value_name = "KEY=VALUE")]
    answers: Vec<String>,
    /// Send the arguments as they are, whatever the tool's schema says
    #[arg(long)]
    no_check: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json_output: bool,
    #[command(flatten)]
    connection: Connection,
}

/// How long the connection stays open for rmcp to send that a request is abandoned; it does not tell when it has.
const LAST_WORD: Duration = Duration::from_millis(200);

/// What is wanted of the server.
enum Wish {
    Catalog,
    Tool(String),
    Prompt(String),
    Resource(String),
}

/// Connects, does what is wanted, and says goodbye.
///
/// # Errors
/// [`Usage`] with every fault of the words; else what happened on the way.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut faults = Vec::new();
    let (target, wish, words) = args.read(&mut faults);
    let setup = args.connection.setup(&mut faults);
    let json = args
        .json
        .as_deref()
        .map(arguments::read_json)
        .transpose()
        .unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
    if json.is_some() && !words.is_empty() {
        faults.push("give the arguments as key=value or as --json, not both".to_owned());
    }
    let desk = Arc::new(Desk::new(&args.answers, &mut faults));
    Usage::check(faults)?;
    let target = target.context("no target")?;
    let browser = Loopback::bind(|page| {
        screen::note(&format!(
            "The server wants you to log in. Open this page in a browser:\n  {page}"
        ));
    })
    .await
    .context("cannot listen on loopback for a login")?;
    let client = tokio::select! {
        client = Client::connect(&target, &setup, Arc::clone(&desk) as _, Arc::new(browser)) => client?,
        interruption = interruption() => return Err(interruption),
    };
    let talk = Talk {
        args: &args,
        client: &client,
        desk: &desk,
        words,
        json,
    };
    let outcome = tokio::select! {
        outcome = talk.grant(wish) => {
            desk.finish();
            outcome
        }
        interruption = interruption() => {
            desk.clear();
            screen::note("The server was told to stop; it may go on putting things in order.");
            tokio::time::sleep(LAST_WORD).await;
            Err(interruption)
        }
    };
    tokio::select! {
        () = client.close() => {}
        // who says it twice does not want to wait
        _ = interruption() => {}
    }
    outcome
}

/// Comes when the person wants to end it all.
async fn interruption() -> anyhow::Error {
    match tokio::signal::ctrl_c().await {
        Ok(()) => anyhow::anyhow!("interrupted"),
        Err(error) => anyhow::Error::new(error).context("cannot listen for Ctrl-C"),
    }
}

impl Args {
    /// Tells target, wish and arguments apart.
    fn read(&self, faults: &mut Vec<String>) -> (Option<Target>, Wish, Vec<String>) {
        let mut words = self.words.iter();
        let target = match &self.stdio {
            Some(command) => Some(Target::command(command)),
            None => words.next().map(|word| Target::parse(word)),
        };
        let target = match target {
            Some(Ok(target)) => Some(target),
            Some(Err(error)) => {
                faults.push(error.to_string());
                None
            }
            None => {
                faults.push("no target: give a URL or a command line (skydock call --help)".to_owned());
                None
            }
        };
        let wish = match (&self.prompt, &self.resource) {
            (Some(name), _) => Wish::Prompt(name.clone()),
            (None, Some(uri)) => Wish::Resource(uri.clone()),
            (None, None) => words
                .next()
                .map_or(Wish::Catalog, |name| Wish::Tool(name.clone())),
        };
        if let Wish::Tool(name) = &wish
            && name.contains('=')
        {
            faults.push(format!("{name:?} stands where the tool's name belongs"));
        }
        let words: Vec<_> = words.cloned().collect();
        match wish {
            Wish::Catalog if self.json.is_some() => faults.push("--json needs a tool to call".to_owned()),
            Wish::Resource(_) if !words.is_empty() => {
                faults.push(format!("a resource takes no arguments, but {words:?} are given"));
            }
            _ => {}
        }
        (target, wish, words)
    }
}

/// A connection, and what is said over it.
struct Talk<'a> {
    args: &'a Args,
    client: &'a Client,
    desk: &'a Desk,
    words: Vec<String>,
    json: Option<Map<String, Value>>,
}

impl Talk<'_> {
    async fn grant(self, wish: Wish) -> Result<ExitCode> {
        let mut out = screen::out();
        match wish {
            Wish::Catalog => {
                let catalog = self.client.catalog().await?;
                self.write(&catalog, || listing::write(&mut out, self.client, &catalog))?;
            }
            Wish::Tool(name) => return self.call(name).await,
            Wish::Prompt(name) => {
                self.require("prompts", |offer| offer.prompts.is_some())?;
                let prompts = self.client.prompts().await?;
                let names: Vec<_> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
                let prompt = prompts.iter().find(|prompt| prompt.name == name);
                let prompt = prompt.ok_or_else(|| Usage::new(suggest::unknown("prompt", &name, &names)))?;
                let arguments = self.arguments(&Signature::of_prompt(prompt))?;
                let params = GetPromptRequestParams::new(name).with_arguments(arguments);
                let result = self.client.get_prompt(params).await?;
                self.write(&result, || answer::write_prompt(&mut out, &result))?;
            }
            Wish::Resource(uri) => {
                self.require("resources", |offer| offer.resources.is_some())?;
                let result = self
                    .client
                    .read_resource(ReadResourceRequestParams::new(uri))
                    .await?;
                self.write(&result, || answer::write_resource(&mut out, &result))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks a server for nothing that it says it does not have.
    fn require(&self, what: &str, has: impl FnOnce(&ServerCapabilities) -> bool) -> Result<(), Usage> {
        match self.client.server() {
            Some(server) if !has(&server.capabilities) => {
                Err(Usage::new(format!("this server has no {what}")))
            }
            _ => Ok(()),
        }
    }

    async fn call(self, name: String) -> Result<ExitCode> {
        self.require("tools", |offer| offer.tools.is_some())?;
        let tools = self.client.tools().await?;
        let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
        let tool = tools.iter().find(|tool| tool.name == name);
        let tool = tool.ok_or_else(|| Usage::new(suggest::unknown("tool", &name, &names)))?;
        let arguments = self.arguments(&Signature::of_tool(tool))?;
        let params = CallToolRequestParams::new(name).with_arguments(arguments);
        let result = self.client.call_tool(params).await?;
        self.write(&result, || answer::write_tool(&mut screen::out(), &result))?;
        Ok(if result.is_error == Some(true) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn arguments(&self, signature: &Signature) -> Result<Map<String, Value>, Usage> {
        let mut faults = Vec::new();
        let arguments = self
            .json
            .clone()
            .unwrap_or_else(|| signature.read(&self.words, &mut faults));
        if !self.args.no_check {
            signature.check(&arguments, &mut faults);
        }
        Usage::check(faults)?;
        Ok(arguments)
    }

    /// Writes the answer: as JSON when that is wanted, else for people.
    fn write(
        &self,
        answer: &impl serde::Serialize,
        for_people: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.desk.clear();
        if self.args.json_output {
            write_json(&mut screen::out(), answer)
        } else {
            for_people()
        }
    }
}
