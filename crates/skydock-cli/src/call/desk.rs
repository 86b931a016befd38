//! Where a server's questions are answered: by a person at the terminal, or by `--answer`.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use futures::future::BoxFuture;
use rmcp::model::{
    ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, ProgressNotificationParam,
};
use serde_json::{Map, Value};
use skydock_agent::client::User;
use tokio::sync::{Mutex, oneshot};

use crate::{
    progress::Progress,
    schema::{self, Parameter},
    screen::{self, FAINT, STRONG},
};

/// What a person types to say no.
const DECLINE: &str = "!decline";
/// What a person types to walk away.
const CANCEL: &str = "!cancel";

/// Answers given beforehand, and perhaps a person.
#[derive(Debug)]
pub(crate) struct Desk {
    answers: Vec<Answer>,
    interactive: bool,
    progress: Progress,
    /// One question at a time, though a server may ask several at once.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Answer {
    key: String,
    word: String,
    used: AtomicBool,
}

/// Why a form is not filled in.
enum Refusal {
    Decline,
    Cancel,
}

impl Desk {
    /// Takes the `key=value` words of `--answer`.
    pub(crate) fn new(words: &[String], faults: &mut Vec<String>) -> Self {
        let answer = |word: &String| match word.split_once('=') {
            Some((key, word)) => Some(Answer {
                key: key.to_owned(),
                word: word.to_owned(),
                used: AtomicBool::new(false),
            }),
            None => {
                faults.push(format!("--answer {word:?} is not of the form key=value"));
                None
            }
        };
        Self {
            answers: words.iter().filter_map(answer).collect(),
            interactive: screen::is_interactive(),
            progress: Progress::new(),
            turn: Mutex::new(()),
        }
    }

    /// Ends the live line, so that the answer can be written.
    pub(super) fn clear(&self) {
        self.progress.clear();
    }

    /// Ends the live line, and names the answers that nobody asked for.
    pub(super) fn finish(&self) {
        self.progress.clear();
        for answer in self
            .answers
            .iter()
            .filter(|answer| !answer.used.load(Ordering::Relaxed))
        {
            screen::note(&format!(
                "note: the server did not ask for --answer {}=…",
                answer.key
            ));
        }
    }

    async fn fill(&self, message: &str, form: &ElicitationSchema) -> Result<Value, Refusal> {
        screen::note(&format!("{STRONG}The server asks:{STRONG:#} {message}"));
        let mut faults = Vec::new();
        let mut content = Map::new();
        let fields = fields(form);
        if self.interactive && self.answers.is_empty() {
            screen::note(&format!(
                "{FAINT}Enter takes the default; {DECLINE} says no, {CANCEL} walks away.{FAINT:#}"
            ));
        }
        for field in &fields {
            match self.given(field) {
                Some(Ok(value)) => drop(content.insert(field.name.clone(), value)),
                Some(Err(fault)) => faults.push(format!("--answer {} {fault}", field.name)),
                None if self.interactive => {
                    if let Some(value) = ask(field).await? {
                        content.insert(field.name.clone(), value);
                    }
                }
                None => match &field.default {
                    Some(default) => drop(content.insert(field.name.clone(), default.clone())),
                    None if field.required => {
                        let (name, kind) = (&field.name, field.kind.describe());
                        faults.push(format!(
                            "nobody is here to answer; add --answer {name}=… ({kind})"
                        ));
                    }
                    None => {}
                },
            }
        }
        if fields.is_empty() && self.interactive && self.answers.is_empty() {
            // a form without fields is a question of yes or no
            return match prompt("  Do you agree? [y/N] ").await.as_deref().map(str::trim) {
                None | Some(CANCEL) => Err(Refusal::Cancel),
                Some("y" | "yes") => Ok(Value::Object(content)),
                Some(_) => Err(Refusal::Decline),
            };
        }
        if !self.interactive && self.answers.is_empty() && faults.is_empty() {
            let names: Vec<_> = fields
                .iter()
                .map(|field| format!("--answer {}=…", field.name))
                .collect();
            faults.push(format!("nobody is here to answer; add {}", names.join(" ")));
        }
        if faults.is_empty() {
            return Ok(Value::Object(content));
        }
        for fault in faults {
            screen::note(&format!("declined: {fault}"));
        }
        Err(Refusal::Decline)
    }

    fn given(&self, field: &Parameter) -> Option<Result<Value, String>> {
        let answers: Vec<_> = self
            .answers
            .iter()
            .filter(|answer| answer.key == field.name)
            .collect();
        if answers.is_empty() {
            return None;
        }
        answers
            .iter()
            .for_each(|answer| answer.used.store(true, Ordering::Relaxed));
        Some(
            field.kind.read(
                &answers
                    .iter()
                    .map(|answer| answer.word.clone())
                    .collect::<Vec<_>>(),
            ),
        )
    }

    async fn open(&self, message: &str, url: &str) -> Result<(), Refusal> {
        screen::note(&format!("{STRONG}The server asks:{STRONG:#} {message}\n  {url}"));
        if !self.interactive {
            screen::note("declined: nobody is here to open that page");
            return Err(Refusal::Decline);
        }
        match prompt("  Open it yourself; done? [y/N] ")
            .await
            .as_deref()
            .map(str::trim)
        {
            None | Some(CANCEL) => Err(Refusal::Cancel),
            Some("y" | "yes") => Ok(()),
            Some(_) => Err(Refusal::Decline),
        }
    }
}

impl User for Desk {
    fn answer<'a>(&'a self, question: &'a ElicitRequestParams) -> BoxFuture<'a, ElicitResult> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.progress.clear();
            let outcome = match question {
                ElicitRequestParams::FormElicitationParams {
                    message,
                    requested_schema,
                    ..
                } => self.fill(message, requested_schema).await.map(Some),
                ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
                    self.open(message, url).await.map(|()| None)
                }
                _ => {
                    screen::note("declined: the server asks in a way that this client does not know");
                    Err(Refusal::Decline)
                }
            };
            match outcome {
                Ok(Some(content)) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
                Ok(None) => ElicitResult::new(ElicitationAction::Accept),
                Err(Refusal::Decline) => ElicitResult::new(ElicitationAction::Decline),
                Err(Refusal::Cancel) => ElicitResult::new(ElicitationAction::Cancel),
            }
        })
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        let total = progress
            .total
            .map(|total| format!("/{total}"))
            .unwrap_or_default();
        let message = progress.message.as_deref().unwrap_or_default();
        self.progress
            .say(format!("{}{total} {message}", progress.progress).trim_end());
    }

    fn log(&self, level: &str, data: &Value) {
        self.progress.clear();
        screen::note(&format!("{FAINT}{level}:{FAINT:#} {}", schema::word(data)));
    }
}

/// The fields of a form, in the order in which the server wrote them.
fn fields(form: &ElicitationSchema) -> Vec<Parameter> {
    let schema = serde_json::to_value(form).ok();
    let mut fields = schema
        .as_ref()
        .and_then(Value::as_object)
        .map(schema::parameters)
        .unwrap_or_default();
    if let Some(order) = &form.property_order {
        fields.sort_by_key(|field| order.iter().position(|name| *name == field.name));
    }
    fields
}

/// Asks for one field until the answer fits; `None` leaves an optional field out.
async fn ask(field: &Parameter) -> Result<Option<Value>, Refusal> {
    let title = field.title.as_deref().unwrap_or(&field.name);
    if let Some(description) = &field.description {
        screen::note(&format!("  {FAINT}{description}{FAINT:#}"));
    }
    for choice in field
        .kind
        .choices()
        .iter()
        .filter(|choice| choice.title.is_some())
    {
        let title = choice.title.as_deref().unwrap_or_default();
        screen::note(&format!(
            "    {} {FAINT}{title}{FAINT:#}",
            schema::word(&choice.value)
        ));
    }
    let mut notes = vec![field.kind.describe()];
    if let Some(default) = &field.default {
        notes.push(format!("default {}", schema::word(default)));
    } else if !field.required {
        notes.push("may be left out".to_owned());
    }
    let list = if field.kind.is_list() {
        "; several: separate them by commas"
    } else {
        ""
    };
    let question = format!(
        "  {STRONG}{title}{STRONG:#} {FAINT}({}{list}){FAINT:#}: ",
        notes.join(", ")
    );
    loop {
        let line = prompt(&question).await.ok_or(Refusal::Cancel)?;
        let words = match line.trim() {
            DECLINE => return Err(Refusal::Decline),
            CANCEL => return Err(Refusal::Cancel),
            "" if field.default.is_some() => return Ok(field.default.clone()),
            "" if !field.required => return Ok(None),
            "" => {
                screen::note(&format!("  {title} is needed"));
                continue;
            }
            line if field.kind.is_list() && !line.starts_with('[') => {
                line.split(',').map(|word| word.trim().to_owned()).collect()
            }
            line => vec![line.to_owned()],
        };
        match field.kind.read(&words) {
            Ok(value) => return Ok(Some(value)),
            Err(fault) => screen::note(&format!("  {title} {fault}")),
        }
    }
}

/// Reads a line from the terminal; `None` at its end.
///
/// The thread is left behind when the program ends first: a blocked read cannot be called back.
async fn prompt(question: &str) -> Option<String> {
    let mut stderr = screen::aside();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).ok()?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        // nobody waits any more when the program is about to end
        let _ = sender.send(matches!(read, Ok(length) if length > 0).then_some(line));
    });
    receiver.await.ok().flatten()
}
