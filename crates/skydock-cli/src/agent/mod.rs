//! The verb `agent`: a model that works with MCP servers, in the terminal, for one question, or behind a web page.

mod build;
mod chat;
mod keys;
mod lambda;
pub(crate) mod model;
mod once;
mod others;
mod serve;
pub(crate) mod show;

use std::process::ExitCode;

use anyhow::Result;
use skydock_agent::store::Key;

pub use self::build::Flags;
use crate::usage::Usage;

/// Talk to a model that works with MCP servers
///
/// Without -p it is a chat: say what you want, decide on calls that change something, `/tools` lists the tools and
/// `/quit` ends it. In a pipe each line is said.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    skydock agent --server bookings --model bedrock:us.anthropic.claude-haiku-4-5-20251001-v1:0\n  \
    skydock agent --server http://127.0.0.1:8000/mcp --model openai:http://127.0.0.1:11434/v1#qwen3 -p 'What cars are there?'\n  \
    skydock agent --server bookings --model scripted:talk.toml --session trip --approve all\n  \
    skydock agent serve --listen 127.0.0.1:8000 --server bookings --model scripted:talk.toml"
)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// The user
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env_values = true,
        default_value = "local"
    )]
    user: String,
    /// Go on with the conversation of this name; a new one without it
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Say this, print the answer, and end
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["approve", "deny_call"])]
    prompt: Option<String>,
    /// Allow a call that waits for a decision, by its id, or all; then end
    #[arg(long, value_name = "ID", requires = "session")]
    approve: Vec<String>,
    /// Do not allow a call that waits for a decision, by its id, or all; then end
    #[arg(long = "refuse", value_name = "ID", requires = "session")]
    deny_call: Vec<String>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Serve(Box<serve::Args>),
    Keys(keys::Args),
}

/// Who the user is where nobody says it.
const LOCAL: &str = "local";

/// Runs the chat, one turn, or the web chat.
///
/// # Errors
/// [`Usage`] with every fault of the flags; else what happened on the way.
pub async fn run(args: Args) -> Result<ExitCode> {
    match &args.verb {
        Some(Verb::Serve(args)) => return serve::run(args).await,
        Some(Verb::Keys(args)) => return keys::run(args).await,
        None => {}
    }
    let single = args.prompt.is_some() || !args.approve.is_empty() || !args.deny_call.is_empty();
    let mut faults = Vec::new();
    if args.json && !single {
        faults.push("--json needs something to do: -p TEXT, --approve or --refuse".to_owned());
    }
    let agent = args.flags.build(&mut faults).await;
    Usage::check(faults)?;
    let Some(agent) = agent else {
        return Err(Usage::new("the agent could not be built").into());
    };
    let session = args.session.clone().unwrap_or_else(name);
    let key = Key::new(args.user.as_str(), session);
    if single {
        return once::run(&agent, &key, &args).await;
    }
    chat::run(&agent, &key).await
}

/// A name for a new conversation.
pub(crate) fn name() -> String {
    uuid::Uuid::new_v4().to_string().chars().take(8).collect()
}
