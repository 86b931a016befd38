//! What Bedrock is asked.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_bedrockruntime::{
    error::BuildError,
    primitives::Blob,
    types::{
        CachePointBlock, CachePointType, ContentBlock, ConversationRole, InferenceConfiguration, Message,
        ReasoningContentBlock, ReasoningTextBlock, SystemContentBlock, Tool, ToolConfiguration,
        ToolInputSchema, ToolResultBlock, ToolResultContentBlock, ToolResultStatus, ToolSpecification,
        ToolUseBlock,
    },
};
use aws_smithy_types::{Document, Number};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    super::{Request, Spec, history, schema},
    Family,
};
use crate::message::{Block, Reasoning, Role, ToolCall, ToolResult};

/// The parts of a request.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) messages: Vec<Message>,
    pub(super) system: Vec<SystemContentBlock>,
    pub(super) tools: Option<ToolConfiguration>,
    pub(super) inference: Option<InferenceConfiguration>,
}

impl Body {
    pub(super) fn new(
        model: &str,
        request: &Request<'_>,
        family: Family,
        caches: bool,
    ) -> Result<Self, BuildError> {
        let said = history::in_order(request.messages, model);
        let mut messages = Vec::with_capacity(said.len());
        let mut calls = false;
        for history::Said { role, blocks } in &said {
            let role = match role {
                Role::User => ConversationRole::User,
                Role::Assistant => ConversationRole::Assistant,
            };
            let mut content = Vec::with_capacity(blocks.len());
            for block in blocks {
                calls |= matches!(block.as_ref(), Block::Call(_));
                content.extend(written(block, family)?);
            }
            // what is left of it may be reasoning that does not go back
            if !content.is_empty() {
                messages.push(Message::builder().role(role).set_content(Some(content)).build()?);
            }
        }
        if caches
            && let Some(last) = messages.last_mut()
            && last.role == ConversationRole::User
        {
            last.content.push(ContentBlock::CachePoint(cache_point()?));
        }
        let mut system = Vec::new();
        if !request.system.trim().is_empty() {
            system.push(SystemContentBlock::Text(request.system.to_owned()));
            if caches {
                system.push(SystemContentBlock::CachePoint(cache_point()?));
            }
        }
        let tools = tools(request.tools, calls, caches && family.caches_tools())?;
        let inference = request.max_tokens.map(|bound| {
            let bound = i32::try_from(bound).unwrap_or(i32::MAX);
            InferenceConfiguration::builder().max_tokens(bound).build()
        });
        Ok(Self {
            messages,
            system,
            tools,
            inference,
        })
    }
}

fn cache_point() -> Result<CachePointBlock, BuildError> {
    CachePointBlock::builder().r#type(CachePointType::Default).build()
}

fn tools(specs: &[Spec], calls: bool, caches: bool) -> Result<Option<ToolConfiguration>, BuildError> {
    let mut tools = specs.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    if tools.is_empty() {
        if !calls {
            return Ok(None);
        }
        // messages with calls are refused when there are no tools
        tools.push(tool(&Spec {
            name: "no-tool".to_owned(),
            description: "Does nothing. There are no tools now; do not call it.".to_owned(),
            schema: Arc::default(),
        })?);
    }
    if caches {
        tools.push(Tool::CachePoint(cache_point()?));
    }
    Ok(Some(ToolConfiguration::builder().set_tools(Some(tools)).build()?))
}

fn tool(spec: &Spec) -> Result<Tool, BuildError> {
    let mut schema = schema::sorted(&spec.schema);
    if let Value::Object(schema) = &mut schema {
        schema.entry("type").or_insert_with(|| json!("object"));
    }
    // an empty description is refused
    let description = match spec.description.trim() {
        "" => &spec.name,
        description => description,
    };
    let specification = ToolSpecification::builder()
        .name(&spec.name)
        .description(description)
        .input_schema(ToolInputSchema::Json(document(&schema)))
        .build()?;
    Ok(Tool::ToolSpec(specification))
}

fn written(block: &Block, family: Family) -> Result<Option<ContentBlock>, BuildError> {
    Ok(Some(match block {
        Block::Text { text } => ContentBlock::Text(text.clone()),
        Block::Passage(passage) => ContentBlock::Text(history::framed(passage)),
        Block::Reasoning(thought) => return reasoning(thought, family),
        Block::Call(call) => ContentBlock::ToolUse(tool_use(call)?),
        Block::Result(result) => ContentBlock::ToolResult(tool_result(result, family)?),
    }))
}

fn reasoning(thought: &Reasoning, family: Family) -> Result<Option<ContentBlock>, BuildError> {
    let is_signed = thought.signature.is_some() || thought.redacted.is_some();
    if !family.takes_reasoning(is_signed) || (thought.text.is_empty() && !is_signed) {
        return Ok(None);
    }
    if let Some(redacted) = &thought.redacted {
        let Ok(kept) = BASE64_STANDARD.decode(redacted) else {
            return Ok(None);
        };
        let kept = ReasoningContentBlock::RedactedContent(Blob::new(kept));
        return Ok(Some(ContentBlock::ReasoningContent(kept)));
    }
    let text = ReasoningTextBlock::builder()
        .text(&thought.text)
        .set_signature(thought.signature.clone())
        .build()?;
    let text = ReasoningContentBlock::ReasoningText(text);
    Ok(Some(ContentBlock::ReasoningContent(text)))
}

fn tool_use(call: &ToolCall) -> Result<ToolUseBlock, BuildError> {
    ToolUseBlock::builder()
        .tool_use_id(id(&call.id))
        .name(&call.name)
        .input(document(&call.input))
        .build()
}

fn tool_result(result: &ToolResult, family: Family) -> Result<ToolResultBlock, BuildError> {
    let text = history::words(result, family.takes_status());
    let status = if result.is_error {
        ToolResultStatus::Error
    } else {
        ToolResultStatus::Success
    };
    let status = family.takes_status().then_some(status);
    ToolResultBlock::builder()
        .tool_use_id(id(&result.id))
        .content(ToolResultContentBlock::Text(text))
        .set_status(status)
        .build()
}

/// The name of a call. Another provider may have given it, with characters that Bedrock refuses.
fn id(id: &str) -> String {
    const LONGEST: usize = 64;
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            c
        } else {
            '_'
        }
    };
    id.chars().take(LONGEST).map(allowed).collect()
}

fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(bool) => Document::Bool(*bool),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Number::PosInt(number),
            (None, Some(number)) => Number::NegInt(number),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(values) => Document::Array(values.iter().map(document).collect()),
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| (key.clone(), document(value)));
            Document::Object(entries.collect::<HashMap<_, _>>())
        }
    }
}

/// A document as JSON.
pub(super) fn value(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(bool) => Value::Bool(*bool),
        Document::Number(Number::PosInt(number)) => json!(number),
        Document::Number(Number::NegInt(number)) => json!(number),
        Document::Number(Number::Float(number)) => json!(number),
        Document::String(text) => Value::String(text.clone()),
        Document::Array(values) => Value::Array(values.iter().map(value).collect()),
        Document::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries = entries
                .into_iter()
                .map(|(key, entry)| (key.clone(), value(entry)));
            Value::Object(entries.collect())
        }
    }
}
