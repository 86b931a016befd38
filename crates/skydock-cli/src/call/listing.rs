//! What a server offers, for people to read.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use rmcp::model::{Tool, ToolAnnotations};
use skydock_agent::client::{Catalog, Client};

use super::arguments::Signature;
use crate::{
    schema::{self, Parameter},
    screen::{self, FAINT, STRONG},
};

/// Writes everything that a server offers.
pub(super) fn write(out: &mut impl Write, client: &Client, catalog: &Catalog) -> io::Result<()> {
    let width = usize::from(screen::width());
    if let Some(server) = client.server() {
        let name = server
            .server_info
            .as_ref()
            .map(|info| format!("{} {}", info.name, info.version).trim_end().to_owned());
        let name = name.unwrap_or_else(|| "a server without a name".to_owned());
        let (revision, address) = (&server.protocol_version, client.address());
        writeln!(
            out,
            "{STRONG}{name}{STRONG:#} {FAINT}(MCP {revision}, {address}){FAINT:#}"
        )?;
        for line in screen::wrap(server.instructions.as_deref().unwrap_or_default(), width) {
            writeln!(out, "{line}")?;
        }
    }
    heading(out, "Tools", catalog.tools.len())?;
    for tool in &catalog.tools {
        write_tool(out, tool, width)?;
    }
    heading(out, "Resources", catalog.resources.len())?;
    for it in &catalog.resources {
        entry(
            out,
            &it.uri,
            it.mime_type.as_deref(),
            it.description.as_deref().or(Some(&it.name)),
            width,
        )?;
    }
    heading(out, "Resource templates", catalog.resource_templates.len())?;
    for it in &catalog.resource_templates {
        let about = it.description.as_deref().or(Some(&it.name));
        entry(out, &it.uri_template, it.mime_type.as_deref(), about, width)?;
    }
    heading(out, "Prompts", catalog.prompts.len())?;
    for it in &catalog.prompts {
        entry(out, &it.name, None, it.description.as_deref(), width)?;
        write_parameters(out, &Signature::of_prompt(it).parameters, width)?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, name: &str, count: usize) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}{name}{STRONG:#} {FAINT}({count}){FAINT:#}")
}

fn entry(
    out: &mut impl Write,
    name: &str,
    note: Option<&str>,
    about: Option<&str>,
    width: usize,
) -> io::Result<()> {
    let note = note
        .filter(|note| !note.is_empty())
        .map(|note| format!("  {FAINT}{note}{FAINT:#}"));
    writeln!(out, "  {STRONG}{name}{STRONG:#}{}", note.unwrap_or_default())?;
    for line in screen::wrap(about.unwrap_or_default(), width.saturating_sub(6)) {
        writeln!(out, "      {line}")?;
    }
    Ok(())
}

fn write_tool(out: &mut impl Write, tool: &Tool, width: usize) -> io::Result<()> {
    let hints = tool.annotations.as_ref().map(hints).unwrap_or_default();
    entry(out, &tool.name, Some(&hints), tool.description.as_deref(), width)?;
    write_parameters(out, &Signature::of_tool(tool).parameters, width)
}

/// What the server says about a tool's effects; only said, not proved.
fn hints(annotations: &ToolAnnotations) -> String {
    let mut hints = Vec::new();
    if annotations.read_only_hint == Some(true) {
        hints.push("read-only");
    } else {
        if annotations.destructive_hint == Some(true) {
            hints.push("destructive");
        }
        if annotations.idempotent_hint == Some(true) {
            hints.push("idempotent");
        }
    }
    hints.join(", ")
}

fn write_parameters(out: &mut impl Write, parameters: &[Parameter], width: usize) -> io::Result<()> {
    if parameters.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width.saturating_sub(8)).unwrap_or(u16::MAX));
    for parameter in parameters {
        let mut kind = parameter.kind.describe();
        if parameter.required {
            kind.push_str(", required");
        }
        let mut about = parameter.description.clone().unwrap_or_default();
        if let Some(default) = parameter.default.as_ref().filter(|default| !default.is_null()) {
            about = format!("{about} (default {})", schema::word(default))
                .trim_start()
                .to_owned();
        }
        table.add_row([parameter.name.clone(), kind, about]);
    }
    for line in table.lines() {
        writeln!(out, "       {}", line.trim_end())?;
    }
    Ok(())
}
