//! The demo of lambda-ops: on its embedded account, over HTTP, asked by a real MCP client.

use std::{
    io::Write,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use lambda_ops::{LambdaOps, allow::Allow};
use reqwest::Url;
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction, ProgressNotificationParam};
use serde_json::json;
use skydock::{Host, Listening};
use skydock_agent::client::{Client, Loopback, Setup, Target, User};
use tokio::signal::unix::{SignalKind, signal};

use super::{Args, questions::Questions, story};
use crate::{
    config,
    listen::bind,
    progress::Progress,
    screen::{self, FAINT, STRONG},
};

/// Runs the demo until Ctrl-C or SIGTERM, or to the end of the story with `--once`.
///
/// # Errors
/// [`Usage`](crate::Usage) when the address cannot be used; else what happened on the way.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let listener = bind(args.listen, "the demo").await?;
    let handler = LambdaOps::embedded(args.seed).with_allow(Allow::everything());
    let mut server = Host::new(handler).listen(listener)?;
    let show = async {
        tell(&server.url()).await?;
        if args.once {
            return Ok(());
        }
        write_farewell(&server)?;
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = show => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    tokio::select! {
        () = server.stop() => {}
        // the second signal does not wait for what is under way
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Connects as any client would, and lets the story be told.
async fn tell(url: &str) -> Result<()> {
    let mut out = screen::out();
    let progress = Arc::new(Progress::new());
    progress.say(&format!("connecting to {url}"));
    let browser = Loopback::bind(|_| {})
        .await
        .context("cannot listen on loopback")?;
    let narrator = Arc::new(Narrator {
        progress: Arc::clone(&progress),
        asked: Mutex::default(),
    });
    let user = Arc::<Narrator>::clone(&narrator);
    let client = Client::connect(&Target::parse(url)?, &Setup::default(), user, Arc::new(browser)).await?;
    progress.clear();
    if let Some(server) = client.server() {
        let name = server
            .server_info
            .as_ref()
            .map_or("the server", |info| &info.name);
        let revision = &server.protocol_version;
        writeln!(
            out,
            "{FAINT}{name} at {url}, MCP {revision}, embedded account{FAINT:#}\n"
        )?;
    }
    let outcome = story::tell(
        &mut out,
        &Questions {
            client: &client,
            progress,
            narrator,
        },
    )
    .await;
    client.close().await;
    outcome
}

fn write_farewell(server: &Listening) -> Result<()> {
    let mut out = screen::out();
    let url = server.url();
    let way = config::Way::Url(Url::parse(&url)?);
    let program = std::env::args().next().unwrap_or_else(|| "skydock".to_owned());
    let snippet = config::Client::Cursor.snippet("lambda-ops", &way);
    writeln!(out, "\n{STRONG}The server stays up{STRONG:#} at {url}\n")?;
    writeln!(out, "Ask it yourself, in another terminal:")?;
    writeln!(out, "  {program} call {url}")?;
    writeln!(out, "  {program} call {url} list-functions runtime=nodejs18.x\n")?;
    writeln!(out, "Use it in Cursor (~/.cursor/mcp.json):")?;
    for line in serde_json::to_string_pretty(&snippet)?.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "Other clients (claude, amazon-q, vscode):")?;
    writeln!(out, "  {program} config lambda-ops --client claude --url {url}\n")?;
    writeln!(out, "{STRONG}Ctrl-C{STRONG:#} stops it.")?;
    Ok(())
}

/// Passes the server's progress on, and agrees to every plan, as it is an account where nothing can break.
pub(super) struct Narrator {
    progress: Arc<Progress>,
    /// What was asked last.
    asked: Mutex<Option<String>>,
}

impl Narrator {
    /// What was asked since this was asked for.
    pub(super) fn asked(&self) -> Option<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl User for Narrator {
    fn answer<'a>(&'a self, question: &'a ElicitRequestParams) -> BoxFuture<'a, ElicitResult> {
        let mut answer = ElicitResult::new(ElicitationAction::Decline);
        if let ElicitRequestParams::FormElicitationParams { message, .. } = question {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
            answer = ElicitResult::new(ElicitationAction::Accept);
            answer.content = Some(json!({ "change": true }));
        }
        Box::pin(async { answer })
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        // one line; the whole text comes with the answer
        let text = progress.message.as_deref().unwrap_or_default();
        if let Some(line) = screen::wrap(text, 72).into_iter().next() {
            self.progress.say(&line);
        }
    }
}
