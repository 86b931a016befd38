//! A script in place of a model: what it says and calls stands in a file. No model is thinking.

use std::{collections::BTreeMap, path::Path, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use jiff::{Zoned, civil::Weekday};
use minijinja::{Environment, UndefinedBehavior, context, value::Serde};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Failure, Model, Part, Piece, Pieces, Request, Stop, Usage};
use crate::message::{Block, Message, Role};

/// A script. A scene begins with what the user says; each answer is its next step.
#[derive(Debug)]
pub struct Scripted {
    name: String,
    pace: Duration,
    scenes: Vec<Scene>,
    templates: Environment<'static>,
}

#[derive(Debug)]
struct Scene {
    when: Option<Regex>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What it is called.
    name: String,
    /// Milliseconds from word to word, so that people see an answer come.
    #[serde(default)]
    pace_ms: u64,
    scenes: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A regular expression that the user's words have to match; without it the scene is for everything else.
    when: Option<String>,
    steps: Vec<Step>,
}

/// One answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What it says: a template.
    #[serde(default)]
    say: String,
    /// What it calls.
    #[serde(default)]
    call: Vec<Call>,
    /// What it is to cost, in tokens; nothing, as no model is thinking.
    #[serde(default)]
    usage: Usage,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    /// An expression: the call is left out when it is not true.
    when: Option<String>,
    /// The arguments; every text in them is a template.
    #[serde(default)]
    input: Map<String, Value>,
}

/// What a template knows of a call's result.
#[derive(Debug, Serialize)]
struct Known<'a> {
    text: &'a str,
    data: Option<&'a Value>,
    error: bool,
}

/// Why a script cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("the script {file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// It is not what a script looks like.
    #[error("{what} is no script: {reason}")]
    Form {
        /// The file, or what else it is.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

impl Scripted {
    /// The script in a file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| Error::Read {
            file: name.clone(),
            source,
        })?;
        Self::parse(&name, &text)
    }

    /// The script in a text; `what` names it in errors.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Form {
            what: what.to_owned(),
            reason,
        };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut templates = Environment::new();
        // a template that names what is not there is wrong, and says so
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let mut scenes = Vec::new();
        for Written { when, steps } in file.scenes {
            for template in steps.iter().flat_map(Step::templates) {
                templates
                    .template_from_str(template)
                    .map_err(|error| wrong(format!("{template:?}: {error}")))?;
            }
            for when in steps
                .iter()
                .flat_map(|step| &step.call)
                .filter_map(|call| call.when.as_deref())
            {
                templates
                    .compile_expression(when)
                    .map_err(|error| wrong(format!("{when:?}: {error}")))?;
            }
            if steps.last().is_none_or(|step| !step.call.is_empty()) {
                return Err(wrong(format!(
                    "the scene {:?} has to end with a step that calls nothing",
                    when.unwrap_or_default()
                )));
            }
            let when = when
                .map(|when| Regex::new(&when))
                .transpose()
                .map_err(|error| wrong(error.to_string()))?;
            scenes.push(Scene { when, steps });
        }
        Ok(Self {
            name: file.name,
            pace: Duration::from_millis(file.pace_ms),
            scenes,
            templates,
        })
    }

    /// The next step for what was said, and what its templates know.
    fn next(&self, request: &Request<'_>) -> Result<(&Step, minijinja::Value), Failure> {
        let messages = request.messages;
        let begin = messages
            .iter()
            .rposition(|message| message.role == Role::User && !message.text().is_empty())
            .unwrap_or_default();
        let (_, rest) = messages.split_at_checked(begin).unwrap_or((&[], messages));
        let words = rest.first().map(Message::text).unwrap_or_default();
        let step = rest
            .iter()
            .filter(|message| message.role == Role::Assistant)
            .count();
        for scene in &self.scenes {
            let mut captures = BTreeMap::new();
            if let Some(when) = &scene.when {
                let Some(found) = when.captures(&words) else {
                    continue;
                };
                let names = when.capture_names().flatten();
                captures.extend(
                    names.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned()))),
                );
            }
            let last = scene.steps.len().saturating_sub(1);
            let step = scene.steps.get(step.min(last));
            let step = step.ok_or_else(|| Failure::Refused("the scene has no steps".to_owned()))?;
            let today = Zoned::now().date();
            let monday = today.nth_weekday(1, Weekday::Monday).unwrap_or(today);
            let known = context! {
                user => request.user,
                message => words.clone(),
                captures,
                today => today.to_string(),
                next_monday => monday.to_string(),
                results => Serde(results(rest)),
                passages => Serde(passages(rest)),
            };
            return Ok((step, known));
        }
        Err(Failure::Refused(format!(
            "the script {} has no scene for {words:?}",
            self.name
        )))
    }

    fn fill(&self, template: &str, known: &minijinja::Value) -> Result<String, Failure> {
        self.templates
            .render_str(template, known)
            .map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &minijinja::Error) -> Failure {
        Failure::Refused(format!("the script {} is wrong: {error}", self.name))
    }

    fn is_true(&self, when: &str, known: &minijinja::Value) -> Result<bool, Failure> {
        let expression = self
            .templates
            .compile_expression(when)
            .map_err(|error| self.wrong(&error))?;
        let value = expression.eval(known).map_err(|error| self.wrong(&error))?;
        Ok(value.is_true())
    }

    fn value(&self, text: &str, known: &minijinja::Value) -> Result<Value, Failure> {
        let inside = text.trim().trim_start_matches("{{").trim_end_matches("}}");
        let expression = self
            .templates
            .compile_expression(inside)
            .map_err(|error| self.wrong(&error))?;
        let value = expression.eval(known).map_err(|error| self.wrong(&error))?;
        serde_json::to_value(value)
            .map_err(|error| Failure::Refused(format!("the script {} is wrong: {error}", self.name)))
    }

    fn fill_all(&self, value: &Value, known: &minijinja::Value) -> Result<Value, Failure> {
        Ok(match value {
            // one expression alone keeps its kind: a number stays a number
            Value::String(text) if is_expression(text) => self.value(text, known)?,
            Value::String(text) => Value::String(self.fill(text, known)?),
            Value::Array(values) => {
                let filled = values.iter().map(|value| self.fill_all(value, known));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.fill_all(value, known)?)));
                Value::Object(filled.collect::<Result<_, Failure>>()?)
            }
            other => other.clone(),
        })
    }
}

impl Step {
    fn templates(&self) -> impl Iterator<Item = &str> {
        let inputs = self.call.iter().flat_map(|call| call.input.values());
        std::iter::once(self.say.as_str()).chain(inputs.filter_map(Value::as_str))
    }
}

/// Whether a template is one expression and nothing else.
fn is_expression(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// The last result of each tool.
fn results(messages: &[Message]) -> BTreeMap<&str, Known<'_>> {
    let mut names = BTreeMap::new();
    let mut results = BTreeMap::new();
    for block in messages.iter().flat_map(|message| &message.blocks) {
        match block {
            Block::Call(call) => drop(names.insert(&*call.id, &*call.name)),
            Block::Result(result) => {
                if let Some(name) = names.get(&*result.id) {
                    let known = Known {
                        text: &result.text,
                        data: result.structured.as_ref(),
                        error: result.is_error,
                    };
                    results.insert(*name, known);
                }
            }
            _ => {}
        }
    }
    results
}

fn passages(messages: &[Message]) -> Vec<&crate::message::Passage> {
    let blocks = messages.iter().flat_map(|message| &message.blocks);
    let passages = blocks.filter_map(|block| match block {
        Block::Passage(passage) => Some(passage),
        _ => None,
    });
    passages.collect()
}

#[async_trait]
impl Model for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> &'static str {
        "skydock.script"
    }

    fn notice(&self) -> Option<String> {
        Some(format!(
            "No model is thinking: the script {:?} answers. The tools and what they do are real.",
            self.name
        ))
    }

    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure> {
        let (step, known) = self.next(&request)?;
        let said = self.fill(&step.say, &known)?;
        let mut pieces: Vec<_> = words(said.trim())
            .map(|word| Piece {
                block: 0,
                what: Part::Text(word.to_owned()),
            })
            .collect();
        let turn = request.messages.len();
        let mut stop = Stop::EndTurn;
        for (index, Call { tool, when, input }) in step.call.iter().enumerate() {
            if let Some(when) = when
                && !self.is_true(when, &known)?
            {
                continue;
            }
            stop = Stop::ToolUse;
            let block = index.saturating_add(1);
            let input = self.fill_all(&Value::Object(input.clone()), &known)?;
            let id = format!("call-{turn}-{block}");
            let name = tool.clone();
            let call = Part::Call { id, name };
            let parts = [call, Part::Input(input.to_string())];
            pieces.extend(parts.map(|what| Piece { block, what }));
        }
        let ends = [Part::Stop(stop), Part::Usage(step.usage)];
        pieces.extend(ends.map(|what| Piece { block: 0, what }));
        let pace = self.pace;
        let pieces = stream::iter(pieces).then(move |piece| async move {
            if !pace.is_zero() && matches!(piece.what, Part::Text(_)) {
                tokio::time::sleep(pace).await;
            }
            Ok(piece)
        });
        Ok(pieces.boxed())
    }
}

/// The words of a text, each with the space behind it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;
    use crate::{message::ToolResult, model::Assembly};

    const SCRIPT: &str = r#"
        name = "test"
        [[scenes]]
        when = "(?i)book (?<city>[a-z]+)"
        steps = [
            { say = "I look.", call = [{ tool = "look", input = { city = "{{ captures.city }}", days = 3 } }] },
            { say = "{% if results.look.error %}No: {{ results.look.text }}{% else %}{{ results.look.data.free }} free, {{ user }}{% endif %}" },
        ]
        [[scenes]]
        steps = [{ say = "I only book." }]
    "#;

    async fn say(script: &Scripted, messages: &[Message]) -> Message {
        let request = Request {
            system: "",
            messages,
            tools: &[],
            max_tokens: None,
            user: "Max",
        };
        let pieces: Vec<_> = script.ask(request).await.unwrap().try_collect().await.unwrap();
        let mut assembly = Assembly::default();
        pieces.into_iter().for_each(|piece| assembly.add(piece));
        assembly.finish().0
    }

    #[tokio::test]
    async fn a_scene_goes_on_with_what_its_tools_found() {
        let script = Scripted::parse("test", SCRIPT).unwrap();
        let mut messages = vec![Message::user("Book Dallas")];
        let first = say(&script, &messages).await;
        let call = first.calls().next().unwrap().clone();
        assert_eq!(call.input, serde_json::json!({"city": "Dallas", "days": 3}));
        messages.push(first);
        let result = ToolResult {
            id: call.id,
            text: "two".to_owned(),
            structured: Some(serde_json::json!({"free": 2})),
            is_error: false,
        };
        messages.push(Message {
            role: Role::User,
            blocks: vec![Block::Result(result)],
        });
        let second = say(&script, &messages).await;
        assert_eq!(second.text(), "2 free, Max");
        messages.push(second);
        messages.push(Message::user("hello"));
        assert_eq!(say(&script, &messages).await.text(), "I only book.");
    }

    #[test]
    fn a_wrong_script_says_what_is_wrong() {
        for (text, part) in [
            ("name = 1", "expected a string"),
            ("name = 'x'\n[[scenes]]\nsteps = [{ say = '{{' }]", "{{"),
            (
                "name = 'x'\n[[scenes]]\nsteps = [{ call = [{ tool = 't' }] }]",
                "calls nothing",
            ),
            (
                "name = 'x'\n[[scenes]]\nwhen = '['\nsteps = [{ say = 'x' }]",
                "unclosed",
            ),
        ] {
            let error = Scripted::parse("it", text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
