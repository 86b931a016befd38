//! The verb `config`: the lines that make an MCP client use a server, in the form that this client reads.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::{screen, usage::Usage};

/// The servers that come with Skydock, each a program of its own name.
const KNOWN: [&str; 2] = ["lambda-ops", "pizza"];

/// Print the lines that make an MCP client use a server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    skydock config lambda-ops --client claude\n  \
    skydock config lambda-ops --client vscode --url http://127.0.0.1:8000/mcp\n  \
    skydock config git --client cursor -- uvx mcp-server-git --repository .")]
pub struct Args {
    /// The name that the client is to show: lambda-ops, pizza, or your own server's
    name: String,
    /// The client to configure
    #[arg(long, value_enum, default_value_t = Client::Claude)]
    client: Client,
    /// The server's URL, when it runs somewhere already
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    url: Option<String>,
    /// The command that starts the server
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// An MCP client whose configuration we know how to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Claude Desktop
    Claude,
    /// Amazon Q Developer, CLI and IDE
    AmazonQ,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
}

/// How a client reaches the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Over HTTP.
    Url(Url),
    /// By starting it: a program and its arguments.
    Command(String, Vec<String>),
}

impl Client {
    /// The configuration of one server, as this client's file has it.
    ///
    /// Sources (read 2026-11): Anthropic "Building custom connectors" (Claude Desktop does not connect to URLs in
    /// its file), AWS "MCP configuration in the CLI", Cursor "MCP", VS Code "MCP configuration reference".
    #[must_use]
    pub fn snippet(self, name: &str, way: &Way) -> Value {
        let server = match way {
            Way::Url(url) => self.remote(url),
            Way::Command(program, arguments) => {
                let mut server = json!({"command": program, "args": arguments});
                if let (Self::Vscode, Some(server)) = (self, server.as_object_mut()) {
                    server.insert("type".to_owned(), "stdio".into());
                }
                server
            }
        };
        let root = if self == Self::Vscode {
            "servers"
        } else {
            "mcpServers"
        };
        let servers = Map::from_iter([(name.to_owned(), server)]);
        Value::Object(Map::from_iter([(root.to_owned(), Value::Object(servers))]))
    }

    fn remote(self, url: &Url) -> Value {
        match self {
            Self::Claude => {
                let mut arguments = vec!["-y", "mcp-remote", url.as_str()];
                if url.scheme() == "http" {
                    arguments.push("--allow-http");
                }
                json!({"command": "npx", "args": arguments})
            }
            Self::Cursor => json!({"url": url.as_str()}),
            Self::AmazonQ | Self::Vscode => json!({"type": "http", "url": url.as_str()}),
        }
    }

    /// Where the file is, and what to know about it.
    fn place(self) -> &'static str {
        match self {
            Self::Claude => {
                "Claude Desktop reads claude_desktop_config.json (Settings > Developer > Edit Config), on\n  \
                 macOS    ~/Library/Application Support/Claude/\n  \
                 Windows  %APPDATA%\\Claude\\"
            }
            Self::AmazonQ => {
                "Amazon Q Developer reads ~/.aws/amazonq/mcp.json (or an agent's file in ~/.aws/amazonq/cli-agents/;\n\
                 the IDE: ~/.aws/amazonq/agents/default.json)."
            }
            Self::Cursor => "Cursor reads ~/.cursor/mcp.json, or .cursor/mcp.json in a project.",
            Self::Vscode => {
                "VS Code reads .vscode/mcp.json in a workspace, or your profile's (MCP: Open User Configuration)."
            }
        }
    }
}

/// Prints the lines on stdout, and on stderr where they belong.
///
/// # Errors
/// [`Usage`] when the server is not known, or its URL is none.
pub fn run(args: &Args) -> Result<()> {
    let way = way(args)?;
    super::call::write_json(&mut screen::out(), &args.client.snippet(&args.name, &way))?;
    screen::note(args.client.place());
    if let (Client::Claude, Way::Url(url)) = (args.client, &way) {
        screen::note(&format!(
            "Its file takes programs only, so npx runs mcp-remote as a bridge (needs Node.js). Without it: add {url}\n\
             under Settings > Connectors, if it can be reached from the internet."
        ));
    }
    if let Way::Command(program, _) = &way
        && KNOWN.contains(&program.as_str())
    {
        screen::note(&format!(
            "{program} must be on the PATH that the client sees; a full path is safer."
        ));
    }
    if let Way::Command(_, arguments) = &way
        && args.name == "lambda-ops"
        && !arguments.iter().any(|argument| argument.contains("embedded"))
    {
        screen::note(
            "Region and credentials come from the environment of the client; add `env` with AWS_PROFILE and \
             AWS_REGION, or use `--account embedded`.",
        );
    }
    Ok(())
}

fn way(args: &Args) -> Result<Way, Usage> {
    if let Some(text) = &args.url {
        return match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Way::Url(url)),
            _ => Err(Usage::new(format!(
                "--url {text:?} is not a URL such as http://127.0.0.1:8000/mcp"
            ))),
        };
    }
    if let [program, arguments @ ..] = args.command.as_slice() {
        return Ok(Way::Command(program.clone(), arguments.to_vec()));
    }
    if !KNOWN.contains(&args.name.as_str()) {
        return Err(Usage::new(format!(
            "{:?} is not one of our servers ({}); say how to reach it with --url URL or -- COMMAND",
            args.name,
            KNOWN.join(", ")
        )));
    }
    let program = beside(&args.name).map_or_else(|| args.name.clone(), |path| path.display().to_string());
    Ok(Way::Command(program, Vec::new()))
}

/// The server's program, when it is installed in the same place as this one.
fn beside(name: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let path = here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_form_that_it_reads() {
        let url = Way::Url(Url::parse("http://127.0.0.1:8000/mcp").unwrap());
        let of = |client: Client| client.snippet("ops", &url);
        assert_eq!(
            of(Client::Claude)["mcpServers"]["ops"],
            json!({"command": "npx", "args": ["-y", "mcp-remote", "http://127.0.0.1:8000/mcp", "--allow-http"]})
        );
        assert_eq!(
            of(Client::Cursor)["mcpServers"]["ops"],
            json!({"url": "http://127.0.0.1:8000/mcp"})
        );
        assert_eq!(of(Client::AmazonQ)["mcpServers"]["ops"]["type"], "http");
        assert_eq!(of(Client::Vscode)["servers"]["ops"]["type"], "http");
        let command = Way::Command("uvx".into(), vec!["git".into()]);
        assert_eq!(
            Client::Vscode.snippet("git", &command)["servers"]["git"],
            json!({"type": "stdio", "command": "uvx", "args": ["git"]})
        );
    }
}
