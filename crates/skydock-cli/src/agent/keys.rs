//! The public keys of the agent's identity, for the servers that check its tokens.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use skydock_agent::identity::FileKey;

use super::build;
use crate::usage::Usage;

/// Print the public keys of the agent's identity, a JWK set for --auth-keys of servers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    skydock agent keys --identity-key agent.pem --generate > keys.json\n  \
    bookings --listen 127.0.0.1:8000 --auth-issuer skydock-agent --auth-audience http://127.0.0.1:8000/mcp --auth-keys keys.json\n  \
    skydock agent --identity-key agent.pem --server http://127.0.0.1:8000/mcp --model scripted:talk.toml")]
pub(super) struct Args {
    /// The key: a file with a P-256 key (PKCS#8 PEM), or arn:aws:kms:…
    #[arg(long, value_name = "KEY", env = "SKYDOCK_IDENTITY_KEY")]
    identity_key: String,
    /// Make a new key, and write it to the file first, which must not be there yet
    #[arg(long)]
    generate: bool,
}

/// Prints them.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    if args.generate {
        write(Path::new(&args.identity_key))?;
    }
    let keys = build::keys(&args.identity_key).await.map_err(Usage::new)?;
    let text = serde_json::to_string_pretty(&keys.jwks())?;
    writeln!(anstream::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a new key, for its owner's eyes.
fn write(file: &Path) -> Result<()> {
    let pem = FileKey::generate()?.pem()?;
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let named = || format!("cannot write a new key to {}", PathBuf::from(file).display());
    opened
        .and_then(|mut opened| opened.write_all(pem.as_bytes()))
        .with_context(named)
}
