//! The dialogue of the talk, in the terminal.

use std::io::Write as _;

use anyhow::{Context, Result};
use skydock_agent::{Agent, Decision, Event, Input, Outcome, store::Key};

use crate::{
    agent::show::Show,
    screen::{self, FAINT, STRONG},
};

/// Who travels.
pub(super) const USER: &str = "Max";
/// What the user says.
pub(super) const DIALOGUE: [&str; 5] = [
    "What cars can I rent?",
    "Book me a trip to Paris",
    "Then Dallas, three days starting next Monday, and a car. It is for business.",
    "Can I rent a Mercedes?",
    "What have I booked?",
];

/// Plays the dialogue.
pub(super) async fn play(agent: &Agent) -> Result<()> {
    let key = Key::new(USER, "talk");
    let mut show = Show::new(screen::out());
    for words in DIALOGUE {
        writeln!(screen::out(), "\n{STRONG}{USER}:{STRONG:#} {words}\n")?;
        let mut input = Input::Say(words.to_owned());
        while let Some(decisions) = take(agent, &key, input, &mut show).await? {
            screen::note(&format!("{FAINT}  {USER} agrees.{FAINT:#}"));
            input = Input::Decide(decisions);
        }
    }
    Ok(())
}

/// Takes a turn; `None` when it is answered, and otherwise what the user decides.
async fn take<W: std::io::Write>(
    agent: &Agent,
    key: &Key,
    input: Input,
    show: &mut Show<W>,
) -> Result<Option<Vec<Decision>>> {
    let mut turn = agent.turn(key, input, None).await?;
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
        Outcome::Answered => Ok(None),
        Outcome::Waiting => Ok(Some(decisions)),
        outcome => anyhow::bail!(
            "the turn ended with {outcome:?}: {}",
            ended.detail.unwrap_or_default()
        ),
    }
}
