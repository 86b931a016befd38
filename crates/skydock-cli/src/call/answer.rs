//! What a server answered, for people to read.

use std::io::{self, Write};

use rmcp::model::{
    CallToolResult, ContentBlock, GetPromptResult, ReadResourceResult, Resource, ResourceContents, Role,
};
use serde_json::Value;

use crate::{
    schema,
    screen::{FAINT, STRONG},
};

/// Writes a tool's result: its content, and its structured content where that says more.
pub(super) fn write_tool(out: &mut impl Write, result: &CallToolResult) -> io::Result<()> {
    let structured = result
        .structured_content
        .as_ref()
        .filter(|value| !wraps(value, &result.content));
    for block in &result.content {
        // most servers repeat the structured content as text, for clients that do not know it
        if structured.is_none_or(|value| !repeats(block, value)) {
            write_block(out, block)?;
        }
    }
    if let Some(value) = structured {
        write_json(out, value)?;
    }
    Ok(())
}

/// Writes a prompt's messages.
pub(super) fn write_prompt(out: &mut impl Write, result: &GetPromptResult) -> io::Result<()> {
    for message in &result.messages {
        let role = if message.role == Role::User {
            "user"
        } else {
            "assistant"
        };
        writeln!(out, "{STRONG}{role}:{STRONG:#}")?;
        write_block(out, &message.content)?;
    }
    Ok(())
}

/// Writes a resource's contents.
pub(super) fn write_resource(out: &mut impl Write, result: &ReadResourceResult) -> io::Result<()> {
    result
        .contents
        .iter()
        .try_for_each(|contents| write_contents(out, contents))
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(out, "{text}")
}

fn repeats(block: &ContentBlock, value: &Value) -> bool {
    let text = block
        .as_text()
        .and_then(|text| serde_json::from_str::<Value>(&text.text).ok());
    text.is_some_and(|text| text == *value)
}

/// Whether the structured content only wraps the text, as the Python SDK does with plain results.
fn wraps(value: &Value, content: &[ContentBlock]) -> bool {
    let (Some(object), [block]) = (value.as_object(), content) else {
        return false;
    };
    let (1, Some(result), Some(text)) = (object.len(), object.get("result"), block.as_text()) else {
        return false;
    };
    schema::word(result) == text.text
}

fn write_block(out: &mut impl Write, block: &ContentBlock) -> io::Result<()> {
    match block {
        ContentBlock::Text(text) => writeln!(out, "{}", text.text.trim_end_matches('\n')),
        ContentBlock::Image(image) => write_bytes(out, "image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => write_bytes(out, "audio", &audio.mime_type, &audio.data),
        ContentBlock::Resource(embedded) => write_contents(out, &embedded.resource),
        ContentBlock::ResourceLink(Resource { uri, name, .. }) => {
            writeln!(out, "{FAINT}[resource {uri}: {name}]{FAINT:#}")
        }
        other => write_json(out, other),
    }
}

fn write_contents(out: &mut impl Write, contents: &ResourceContents) -> io::Result<()> {
    match contents {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            writeln!(out, "{FAINT}[{uri}]{FAINT:#}\n{}", text.trim_end_matches('\n'))
        }
        ResourceContents::BlobResourceContents {
            uri, blob, mime_type, ..
        } => {
            let kind = mime_type.as_deref().unwrap_or("application/octet-stream");
            write_bytes(out, uri, kind, blob)
        }
        other => write_json(out, other),
    }
}

fn write_bytes(out: &mut impl Write, what: &str, kind: &str, base64: &str) -> io::Result<()> {
    let digits = base64.trim_end_matches('=').len();
    writeln!(out, "{FAINT}[{what}: {kind}, {} bytes]{FAINT:#}", digits * 3 / 4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(result: &CallToolResult) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write_tool(&mut out, result).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn structured_content_is_not_shown_twice() {
        let mut result = CallToolResult::structured(json!({"a": 1}));
        assert_eq!(written(&result), "{\n  \"a\": 1\n}\n");
        let wrapped = json!({"result": 2.5});
        let mut python = CallToolResult::structured(wrapped);
        python.content = vec![ContentBlock::text("2.5")];
        assert_eq!(written(&python), "2.5\n");
        result.content = vec![ContentBlock::text("one thing")];
        assert_eq!(written(&result), "one thing\n{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn an_image_is_a_line_with_its_type_and_size() {
        let result = CallToolResult::success(vec![ContentBlock::image("aGVsbG8=", "image/png")]);
        assert_eq!(written(&result), "[image: image/png, 5 bytes]\n");
    }
}
