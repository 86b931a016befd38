//! The demo of the travel agent: bookings, an agent, and the talk's dialogue.

use std::{io::Write as _, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, ensure};
use bookings::{Bookings, Consent, inventory::Inventory, policy::Policies, store::Sqlite};
use skydock::Host;
use skydock_agent::{
    Agent, Decision, Event, Input, Outcome, Upstream,
    client::{Setup, Target},
    model::Scripted,
    store::{self, Key},
};
use tokio::net::TcpListener;

use crate::{
    agent::show::Show,
    screen::{self, FAINT, STRONG},
};

/// What the agent is told about itself.
const SYSTEM: &str = include_str!("system.md");
/// What answers when there is no model.
const SCRIPT: &str = include_str!("script.toml");
/// Who travels.
const USER: &str = "Max";
/// What the user says in the talk.
const DIALOGUE: [&str; 5] = [
    "What cars can I rent?",
    "Book me a trip to Paris",
    "Then Dallas, three days starting next Monday, and a car. It is for business.",
    "Can I rent a Mercedes?",
    "What have I booked?",
];

/// Watch a travel agent book a trip within a company's policies
///
/// Starts the MCP server bookings on loopback, and an agent that uses it. A script plays the model, so nothing
/// outside this machine is reached; the tools, the policies and the bookings are real.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Play the talk's dialogue in the terminal, and end
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.once, "only --once works yet");
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
    let outcome = play(&agent).await;
    server.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Plays the dialogue.
async fn play(agent: &Agent) -> Result<()> {
    let key = Key::new(USER, "talk");
    let mut show = Show::new(screen::out());
    for words in DIALOGUE {
        writeln!(screen::out(), "\n{STRONG}{USER}:{STRONG:#} {words}\n")?;
        let mut input = Input::Say(words.to_owned());
        loop {
            let mut turn = agent.turn(&key, input, None).await?;
            let mut decisions = Vec::new();
            let mut ended = None;
            while let Some(event) = turn.next().await {
                show.event(&event)?;
                match event {
                    Event::Approval { call, .. } => decisions.push(Decision {
                        id: call.id,
                        approve: true,
                        note: None,
                    }),
                    Event::Ended(end) => ended = Some(end),
                    _ => {}
                }
            }
            let ended = ended.context("the turn had no end")?;
            match ended.outcome {
                Outcome::Answered => break,
                Outcome::Waiting => {
                    screen::note(&format!("{FAINT}  {USER} agrees.{FAINT:#}"));
                    input = Input::Decide(decisions);
                }
                outcome => anyhow::bail!(
                    "the turn ended with {outcome:?}: {}",
                    ended.detail.unwrap_or_default()
                ),
            }
        }
    }
    Ok(())
}
