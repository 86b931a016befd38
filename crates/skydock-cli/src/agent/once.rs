//! One turn, and what came of it: for scripts and for those who decide later.

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context, Result};
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction};
use skydock_agent::{
    Agent, Call, Decision, Event, Input, Outcome, Question, Reply, Report, Turn, client::User as _,
    store::Key,
};

use super::{Args, show::Show};
use crate::{
    call::{Desk, write_json},
    screen::{self, STRONG},
    usage::Usage,
};

/// Takes one turn.
pub(super) async fn run(agent: &Agent, key: &Key, args: &Args) -> Result<ExitCode> {
    let input = match &args.prompt {
        Some(text) => Input::Say(text.clone()),
        None => Input::Decide(decisions(agent, key, args).await?),
    };
    let mut turn = agent.turn(key, input, None).await?;
    // the answer alone goes where answers go, when it is known what of it stands
    let mut show = Show::new(std::io::sink());
    show.quiet = args.json;
    let mut report = Report::default();
    while let Some(event) = next(&mut turn).await {
        show.event(&event)?;
        report.hear(&event);
        if let Event::Question(question) = event {
            answer(agent, key, &turn, &question).await;
        }
    }
    let outcome = report.ended.as_ref().context("the turn had no end")?.outcome;
    agent.close().await;
    if args.json {
        write_json(&mut screen::out(), &report)?;
    } else {
        if !report.answer.is_empty() {
            writeln!(screen::out(), "{}", report.answer.trim_end())?;
        }
        if outcome == Outcome::Waiting {
            tell_waiting(key, &report.waiting);
        }
    }
    Ok(match outcome {
        Outcome::Answered => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The next event; Ctrl-C ends the turn.
pub(super) async fn next(turn: &mut Turn) -> Option<Event> {
    tokio::select! {
        event = turn.next() => return event,
        _ = tokio::signal::ctrl_c() => {}
    }
    turn.stop();
    turn.next().await
}

/// Says how somebody can decide later.
pub(super) fn tell_waiting(key: &Key, waiting: &[Call]) {
    let (user, session) = (&key.user, &key.session);
    screen::note(&format!(
        "{STRONG}Waiting for a decision.{STRONG:#} Decide with the same --server, --model and --store:"
    ));
    for call in waiting {
        screen::note(&format!(
            "  skydock agent … --user {user} --session {session} --approve {id}   (or --refuse {id})",
            id = call.id
        ));
    }
}

/// What `--approve` and `--refuse` say.
async fn decisions(agent: &Agent, key: &Key, args: &Args) -> Result<Vec<Decision>> {
    let view = agent.view(key).await?;
    let asked: Vec<_> = view
        .conversation
        .asked()
        .map(|(pending, _)| pending.call.id.clone())
        .collect();
    if asked.is_empty() {
        let Key { user, session, .. } = key;
        return Err(Usage::new(format!(
            "no call waits for a decision in the conversation {session:?} of {user:?}"
        ))
        .into());
    }
    let mut decisions = Vec::new();
    for (words, approve) in [(&args.approve, true), (&args.deny_call, false)] {
        let all = words.iter().any(|word| word == "all");
        let ids: Vec<_> = if all { asked.clone() } else { words.clone() };
        decisions.extend(ids.into_iter().map(|id| Decision {
            id,
            approve,
            note: None,
        }));
    }
    Ok(decisions)
}

/// Asks whoever is at the terminal, and passes the answer on. Ctrl-C ends the turn.
pub(super) async fn answer(agent: &Agent, key: &Key, turn: &Turn, question: &Question) {
    let reply = tokio::select! {
        reply = ask(question) => reply,
        _ = tokio::signal::ctrl_c() => {
            turn.stop();
            return;
        }
    };
    if !agent.reply(key, &question.id, reply).await {
        screen::note("Nobody waits for that answer any more.");
    }
}

async fn ask(question: &Question) -> Reply {
    let Some(asked) = params(question) else {
        return Reply::Decline;
    };
    let mut faults = Vec::new();
    let result: ElicitResult = Desk::new(&[], &mut faults).answer(&asked).await;
    match result.action {
        ElicitationAction::Accept => Reply::Accept {
            content: result.content,
        },
        ElicitationAction::Cancel => Reply::Cancel,
        _ => Reply::Decline,
    }
}

fn params(question: &Question) -> Option<ElicitRequestParams> {
    let message = format!("{} asks: {}", question.server, question.message);
    match (&question.schema, &question.url) {
        (Some(schema), _) => Some(ElicitRequestParams::FormElicitationParams {
            meta: None,
            message,
            requested_schema: serde_json::from_value(schema.clone()).ok()?,
        }),
        (None, Some(url)) => Some(ElicitRequestParams::UrlElicitationParams {
            meta: None,
            message,
            url: url.clone(),
            elicitation_id: question.id.clone(),
        }),
        (None, None) => None,
    }
}
