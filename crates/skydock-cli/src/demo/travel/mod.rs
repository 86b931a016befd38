//! The demo of the travel agent: bookings, an agent with a web chat, and the talk's dialogue.

mod dialogue;

use std::{io::Write as _, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use bookings::{Bookings, Consent, inventory::Inventory, policy::Policies, store::Sqlite};
use skydock::{Host, Site};
use skydock_agent::{
    Agent, Upstream,
    client::{Setup, Target},
    model::Scripted,
    store,
    web::{self, Face, SignIn},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use self::dialogue::{DIALOGUE, USER};
use crate::{
    listen::bind,
    screen::{self, FAINT, STRONG},
};

/// What the agent is told about itself.
const SYSTEM: &str = include_str!("system.md");
/// What answers when there is no model.
const SCRIPT: &str = include_str!("script.toml");
/// Who can sign in.
const USERS: [&str; 3] = [USER, "Alice", "Bob"];
const GREETING: &str = "Hi {user}, I'm your friendly corporate travel agent! I can show you cars and hotels, explain our travel \
                        policies, and book a trip for you. Where do you want to go?";

/// Watch a travel agent book a trip within a company's policies
///
/// Starts the MCP server bookings on loopback, an agent that uses it, and a web chat. Unless you name a model a script
/// plays it, so nothing outside this machine is reached; the tools, the policies and the bookings are real.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The loopback address of the web chat; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Play the talk's dialogue in the terminal, and end
    #[arg(long)]
    once: bool,
}

/// Runs the demo until Ctrl-C or SIGTERM, or to the end of the dialogue with `--once`.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    let chat = if args.once {
        None
    } else {
        Some(bind(args.listen, "the demo").await?)
    };
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on loopback")?;
    let store = Arc::new(Sqlite::in_memory()?);
    // the agent asks the user, and the server holds to the policies, whoever asks
    let bookings = Bookings::new(store, Inventory::default(), Policies::default())
        .with_consent(Consent::Host)
        .with_user(USER);
    let mut server = Host::new(bookings).listen(listener)?;
    let upstream = Upstream {
        prefix: None,
        target: Target::parse(&server.url())?,
        setup: Setup::default(),
    };
    let model = Scripted::parse("the script of the demo", SCRIPT)?;
    let agent = Agent::new(Arc::new(model), Arc::new(store::Sqlite::in_memory()?))
        .with_servers(vec![upstream])
        .with_system(SYSTEM);
    let outcome = match chat {
        None => dialogue::play(&agent).await,
        Some(listener) => stay(agent, listener, &server.url()).await,
    };
    server.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Serves the web chat until a signal ends it.
async fn stay(agent: Agent, listener: TcpListener, bookings: &str) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let face = Face {
        title: "AcmeCorp Travel Agent".to_owned(),
        greeting: GREETING.to_owned(),
        suggestions: DIALOGUE.map(str::to_owned).to_vec(),
    };
    let notice = agent.model().notice();
    let users = USERS.map(str::to_owned).to_vec();
    let stop = CancellationToken::new();
    let router = web::router(agent, face, SignIn::Choose(users), stop.clone());
    let mut site = Site::new(router).with_stop(stop).listen(listener)?;
    let mut out = screen::out();
    let program = std::env::args().next().unwrap_or_else(|| "skydock".to_owned());
    writeln!(out, "{STRONG}The travel agent is at{STRONG:#} {}\n", site.url())?;
    writeln!(out, "Its MCP server, for your own client: {bookings}")?;
    writeln!(out, "The same in the terminal: {program} demo travel --once\n")?;
    if let Some(notice) = notice {
        writeln!(out, "{FAINT}{notice}{FAINT:#}\n")?;
    }
    writeln!(out, "{STRONG}Ctrl-C{STRONG:#} stops it.")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tokio::select! {
        () = site.stop() => {}
        // the second signal does not wait for what is under way
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
