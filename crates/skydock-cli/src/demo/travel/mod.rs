//! The demo of the travel agent: bookings, an agent with a web chat, a finance agent that it asks, and the talk's dialogue.

mod dialogue;
mod finance;

use std::{io::Write as _, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use bookings::{Bookings, Consent, inventory::Inventory, policy::Policies, store::Sqlite};
use skydock::{Auth, Config, Host, Listening, Site};
use skydock_agent::{
    Agent, Approvals, Upstream,
    a2a::{Peer, Peers},
    client::{Local, Setup, Target},
    identity::{FileKey, Identity, Keys},
    model::{Model, Scripted},
    store,
    web::{self, Face, SignIn},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use self::{
    dialogue::{DIALOGUE, USER},
    finance::Finance,
};
use crate::{
    agent::model::model,
    listen::bind,
    screen::{self, FAINT, STRONG},
    usage::Usage,
};

/// What the agent is told about itself.
const SYSTEM: &str = include_str!("system.md");
/// What answers when there is no model.
const SCRIPT: &str = include_str!("script.toml");
/// Who signs tokens, as bookings knows it.
const ISSUER: &str = "travel-agent";
/// Who can sign in.
const USERS: [&str; 3] = [USER, "Alice", "Bob"];
const GREETING: &str = "Hi {user}, I'm your friendly corporate travel agent! I can show you cars and hotels, explain our travel \
                        policies, and book a trip for you. Where do you want to go?";

/// Watch a travel agent book a trip within a company's policies
///
/// Starts the MCP server bookings, a finance agent (A2A), a travel agent that uses both, and its web chat, all on
/// loopback. Unless you name a model a script plays it, so nothing outside this machine is reached; the tools, the
/// policies and the bookings are real.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The loopback address of the web chat; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Play the talk's dialogue in the terminal, and end
    #[arg(long)]
    once: bool,
    /// A model in place of the script: bedrock:ID or openai:URL#NAME
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Where the key of an openai: model is kept: a file, or env:VARIABLE
    #[arg(long, value_name = "FILE|env:VARIABLE", requires = "model")]
    model_key: Option<String>,
}

/// Everything that runs beside the web chat.
struct House {
    agent: Agent,
    bookings: Listening,
    finance: Finance,
}

/// Runs the demo until Ctrl-C or SIGTERM, or to the end of the dialogue with `--once`.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    let model: Arc<dyn Model> = match &args.model {
        Some(text) => model(text, args.model_key.as_deref()).await.map_err(Usage::new)?,
        None => Arc::new(Scripted::parse("the script of the demo", SCRIPT)?),
    };
    let chat = if args.once {
        None
    } else {
        Some(bind(args.listen, "the demo").await?)
    };
    let mut house = House::build(model).await?;
    let outcome = match chat {
        None => dialogue::play(&house.agent).await,
        Some(listener) => stay(&house, listener).await,
    };
    house.finance.stop().await;
    house.bookings.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

impl House {
    async fn build(model: Arc<dyn Model>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("cannot listen on loopback")?;
        // the agent asks the user, and the server holds to the policies, whoever asks
        let store = Arc::new(Sqlite::in_memory()?);
        let bookings =
            Bookings::new(store, Inventory::default(), Policies::default()).with_consent(Consent::Host);
        // whoever calls shows a token that the agent has signed for its user
        let keys = Keys::new(Arc::new(FileKey::generate()?));
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let mut config = Config::default();
        config.auth = Some(Auth::from_keys(
            ISSUER,
            vec![url],
            &serde_json::to_string(&keys.jwks())?,
        )?);
        let bookings = Host::new(bookings).with(config).listen(listener)?;
        let finance = Finance::start().await?;
        let peers = Peers::new([Peer::new("finance", finance.url()?)]);
        let upstream = |target| Upstream {
            prefix: None,
            target,
            setup: Setup::default(),
        };
        let servers = vec![
            upstream(Target::parse(&bookings.url())?),
            upstream(Target::Local(Local::new("other agents", peers))),
        ];
        // asking finance changes nothing
        let approvals = Approvals::new(&["ask-finance".to_owned()], &[], &[])?;
        let agent = Agent::new(model, Arc::new(store::Sqlite::in_memory()?))
            .with_servers(servers)
            .with_identity(Identity::new(ISSUER, keys))
            .with_approvals(approvals)
            .with_system(SYSTEM);
        Ok(Self {
            agent,
            bookings,
            finance,
        })
    }
}

/// Serves the web chat until a signal ends it.
async fn stay(house: &House, listener: TcpListener) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let face = Face {
        title: "AcmeCorp Travel Agent".to_owned(),
        greeting: GREETING.to_owned(),
        suggestions: DIALOGUE.map(str::to_owned).to_vec(),
    };
    let users = USERS.map(str::to_owned).to_vec();
    let stop = CancellationToken::new();
    let router = web::router(house.agent.clone(), face, SignIn::Choose(users), stop.clone());
    let mut site = Site::new(router)
        .with_stop(stop)
        .with_work(house.agent.turns())
        .listen(listener)?;
    write_welcome(house, &site)?;
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

fn write_welcome(house: &House, site: &Listening) -> Result<()> {
    let mut out = screen::out();
    let program = std::env::args().next().unwrap_or_else(|| "skydock".to_owned());
    writeln!(out, "{STRONG}The travel agent is at{STRONG:#} {}\n", site.url())?;
    writeln!(
        out,
        "Its MCP server, for your own client: {}",
        house.bookings.url()
    )?;
    writeln!(
        out,
        "The finance agent that it asks:      {}.well-known/agent-card.json",
        house.finance.url()?
    )?;
    writeln!(
        out,
        "The same in the terminal:            {program} demo travel --once\n"
    )?;
    if let Some(notice) = house.agent.model().notice() {
        writeln!(out, "{FAINT}{notice}{FAINT:#}\n")?;
    }
    writeln!(out, "{STRONG}Ctrl-C{STRONG:#} stops it.")?;
    Ok(())
}
