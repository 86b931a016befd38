//! The chat in the terminal.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::{Context, Result};
use rustyline::error::ReadlineError;
use skydock_agent::{Agent, Decision, Event, Input, Outcome, Standing, store::Key};
use tokio::sync::{mpsc, oneshot};

use super::{
    once::{answer, next, tell_waiting},
    show::{Show, tell_asked},
};
use crate::screen::{self, FAINT, STRONG};

const HELP: &str = "/tools lists the tools, /sessions your conversations, /new begins another, /quit ends.";

/// Lines that the user types, or that come from a pipe.
pub(crate) struct Lines(mpsc::Sender<(String, oneshot::Sender<Option<String>>)>);

impl Lines {
    /// Reads in a thread of its own: a blocked read cannot be called back.
    pub(crate) fn new() -> Self {
        let (sender, mut wishes) = mpsc::channel::<(String, oneshot::Sender<Option<String>>)>(1);
        std::thread::spawn(move || {
            let interactive = screen::is_interactive() && std::io::stdout().is_terminal();
            let mut editor = interactive
                .then(rustyline::DefaultEditor::new)
                .and_then(Result::ok);
            while let Some((prompt, reply)) = wishes.blocking_recv() {
                let line = match &mut editor {
                    Some(editor) => read(editor, &prompt),
                    None => {
                        let mut line = String::new();
                        let read = std::io::stdin().read_line(&mut line);
                        matches!(read, Ok(length) if length > 0).then_some(line)
                    }
                };
                // nobody waits any more when the program is about to end
                let _ = reply.send(line);
            }
        });
        Self(sender)
    }

    /// The next line; `None` when there is none.
    pub(crate) async fn next(&self, prompt: &str) -> Option<String> {
        let (sender, line) = oneshot::channel();
        self.0.send((prompt.to_owned(), sender)).await.ok()?;
        line.await.ok().flatten()
    }
}

fn read(editor: &mut rustyline::DefaultEditor, prompt: &str) -> Option<String> {
    match editor.readline(prompt) {
        Ok(line) => {
            // a line that cannot be remembered can be typed again
            let _ = editor.add_history_entry(&line);
            Some(line)
        }
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => None,
        Err(_broken) => None,
    }
}

/// Chats until the user has had enough.
pub(super) async fn run(agent: &Agent, key: &Key) -> Result<ExitCode> {
    let mut key = key.clone();
    let lines = Lines::new();
    let mut show = Show::new(screen::out());
    let model = agent.model().name().to_owned();
    screen::note(&format!(
        "{STRONG}{model}{STRONG:#}{FAINT}, conversation {}. {HELP}{FAINT:#}",
        key.session
    ));
    let mut ended_well = true;
    match agent.view(&key).await?.standing {
        Standing::Interrupted => {
            screen::note(&format!(
                "{FAINT}The last turn was interrupted; it goes on.{FAINT:#}"
            ));
            ended_well = take(agent, &key, Input::Resume, &lines, &mut show).await?;
        }
        Standing::Waiting => ended_well = decide(agent, &key, &lines, &mut show).await?,
        _ => {}
    }
    while let Some(line) = lines.next("> ").await {
        let line = line.trim();
        match line {
            "" => {}
            "/quit" | "/exit" => break,
            "/tools" => list_tools(agent, &key).await?,
            "/sessions" => list_sessions(agent, &key).await?,
            "/new" => {
                key = Key::new(key.user, super::name());
                screen::note(&format!("{FAINT}conversation {}{FAINT:#}", key.session));
            }
            _ if line.starts_with('/') => screen::note(&format!("{line} is no command. {HELP}")),
            _ => ended_well = take(agent, &key, Input::Say(line.to_owned()), &lines, &mut show).await?,
        }
    }
    agent.close().await;
    Ok(if ended_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Takes turns until it is the user's turn again; false when the last one did not end well.
pub(crate) async fn take<W: std::io::Write>(
    agent: &Agent,
    key: &Key,
    input: Input,
    lines: &Lines,
    show: &mut Show<W>,
) -> Result<bool> {
    let mut input = input;
    loop {
        let mut turn = match agent.turn(key, input, None).await {
            Ok(turn) => turn,
            Err(error) => {
                screen::fault(&skydock_agent::client::tell(&error));
                return Ok(false);
            }
        };
        let mut waiting = Vec::new();
        let mut outcome = None;
        while let Some(event) = next(&mut turn).await {
            show.event(&event)?;
            match event {
                Event::Approval { call, .. } => waiting.push(call),
                Event::Question(question) => {
                    show.end_line()?;
                    answer(agent, key, &turn, &question).await;
                }
                Event::Ended(ended) => outcome = Some(ended.outcome),
                _ => {}
            }
        }
        if outcome.context("the turn had no end")? != Outcome::Waiting {
            return Ok(outcome == Some(Outcome::Answered));
        }
        let mut decisions = Vec::new();
        for call in &waiting {
            match ask(call, lines).await {
                Some(decision) => decisions.push(decision),
                None => {
                    tell_waiting(key, &waiting);
                    return Ok(false);
                }
            }
        }
        input = Input::Decide(decisions);
    }
}

/// Asks for decisions that were left open.
async fn decide<W: std::io::Write>(
    agent: &Agent,
    key: &Key,
    lines: &Lines,
    show: &mut Show<W>,
) -> Result<bool> {
    let view = agent.view(key).await?;
    let mut decisions = Vec::new();
    for (pending, reason) in view.conversation.asked() {
        let call = &pending.call;
        let call = skydock_agent::Call {
            id: call.id.clone(),
            name: call.name.clone(),
            title: call.title.clone(),
            server: pending.server.clone(),
            input: call.input.clone(),
        };
        tell_asked(&call, &reason.to_string());
        match ask(&call, lines).await {
            Some(decision) => decisions.push(decision),
            None => return Ok(false),
        }
    }
    take(agent, key, Input::Decide(decisions), lines, show).await
}

/// One decision; `None` when nobody decides.
async fn ask(call: &skydock_agent::Call, lines: &Lines) -> Option<Decision> {
    let question = format!("  Allow {}? [y/N, or say why not] ", call.name);
    let line = lines.next(&question).await?;
    let line = line.trim();
    let approve = matches!(line, "y" | "Y" | "yes");
    let note = (!approve && !matches!(line, "" | "n" | "N" | "no")).then(|| line.to_owned());
    Some(Decision {
        id: call.id.clone(),
        approve,
        note,
    })
}

async fn list_tools(agent: &Agent, key: &Key) -> Result<()> {
    let (tools, missing) = agent.tools(key).await?;
    for tool in &tools {
        let title = tool.title.as_deref().unwrap_or_default();
        screen::note(&format!(
            "  {STRONG}{}{STRONG:#}  {title} {FAINT}({}, {}){FAINT:#}",
            tool.name, tool.approval, tool.server
        ));
    }
    if tools.is_empty() {
        screen::note("  there are no tools; give the agent a --server");
    }
    for (server, why) in missing {
        screen::note(&format!("  {server} is not there: {why}"));
    }
    Ok(())
}

async fn list_sessions(agent: &Agent, key: &Key) -> Result<()> {
    for listed in agent.list(&key.user).await? {
        screen::note(&format!(
            "  {STRONG}{}{STRONG:#}  {} {FAINT}{:.0}{FAINT:#}",
            listed.session, listed.title, listed.written
        ));
    }
    Ok(())
}
