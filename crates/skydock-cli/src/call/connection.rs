//! The flags that say how to connect, shared by the verbs that do.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use skydock_agent::client::{Era, Registration, Setup};

/// How to connect to a server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Protocol revision: auto, 2026-07-28, 2025-11-25 or older
    #[arg(long, value_name = "REVISION", default_value = "auto")]
    era: Era,
    /// Header for every HTTP request (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// File with a bearer token; without one, a 401 leads to an OAuth login
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<PathBuf>,
    /// OAuth client id that was issued beforehand
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File with the secret of --client-id
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Get the token with --client-id and its secret alone, without a person
    #[arg(long, requires = "client_secret_file")]
    client_credentials: bool,
    /// URL of an OAuth Client ID Metadata Document that describes this client
    #[arg(long, value_name = "URL")]
    client_metadata_url: Option<String>,
    /// Directory that the server may know of (repeatable)
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<PathBuf>,
    /// How long the server may be silent: in the handshake (30 if not given), and in a request since it last told
    /// progress (600 if not given)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Show what a started server writes to stderr
    #[arg(long)]
    server_log: bool,
}

impl Connection {
    /// Reads the files and checks the values; every fault is added to the list.
    pub(super) fn setup(&self, faults: &mut Vec<String>) -> Setup {
        let secret = self
            .client_secret_file
            .as_ref()
            .and_then(|file| secret(file, faults));
        let usual = Setup::default();
        let timeout = self.timeout.map(Duration::from_secs);
        Setup {
            era: self.era.clone(),
            headers: self.headers(faults),
            tokens: None,
            bearer: self
                .bearer_file
                .as_ref()
                .and_then(|file| self::secret(file, faults)),
            registration: Registration {
                client: self.client_id.clone().map(|id| (id, secret)),
                machine: self.client_credentials,
                metadata_url: self.client_metadata_url.clone(),
            },
            roots: self
                .roots
                .iter()
                .filter_map(|root| directory(root, faults))
                .collect(),
            patience: timeout.unwrap_or(usual.patience),
            request_patience: timeout.unwrap_or(usual.request_patience),
            loud: self.server_log,
        }
    }

    fn headers(&self, faults: &mut Vec<String>) -> HashMap<HeaderName, HeaderValue> {
        let mut headers = HashMap::new();
        for header in &self.headers {
            let parsed = header.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.trim()).ok()?))
            });
            match parsed {
                Some((name, value)) => drop(headers.insert(name, value)),
                // the value may be a secret, so it is not repeated; without a colon nobody knows where it begins
                None => faults.push(match header.split_once(':') {
                    Some((name, _)) => format!("--header {name:?} is not of the form 'Name: value'"),
                    None => "a --header has no colon; write it as 'Name: value'".to_owned(),
                }),
            }
        }
        headers
    }
}

fn secret(file: &Path, faults: &mut Vec<String>) -> Option<String> {
    let fault = match fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
        Ok(_) => "it is empty".to_owned(),
        Err(error) => error.to_string(),
    };
    faults.push(format!("cannot take a secret from {}: {fault}", file.display()));
    None
}

/// A directory that servers may know of, as a URL.
pub(crate) fn directory(path: &Path, faults: &mut Vec<String>) -> Option<Url> {
    let absolute = match path.canonicalize() {
        Ok(absolute) if absolute.is_dir() => absolute,
        Ok(_) => {
            faults.push(format!("--root {} is not a directory", path.display()));
            return None;
        }
        Err(error) => {
            faults.push(format!("--root {} cannot be used: {error}", path.display()));
            return None;
        }
    };
    Url::from_file_path(&absolute).ok()
}
