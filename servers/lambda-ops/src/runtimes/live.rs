//! Fetches AWS's page of runtimes: one fetch at a time, bounded in time and size, kept for a day.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode, Url};
use tokio::sync::Mutex;

use super::{Source, Table, page};
use crate::clock::today_in_utc;

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 2 * 1024 * 1024;
const KEPT: Duration = Duration::from_hours(24);
/// A page that is down is not asked for again with every call.
const KEPT_AFTER_A_FAULT: Duration = Duration::from_mins(5);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("it answered with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is not text in UTF-8")]
    NotText(#[from] std::string::FromUtf8Error),
    #[error("it has changed its form")]
    Form(#[from] page::Fault),
}

#[derive(Debug)]
struct Kept {
    until: Instant,
    table: Arc<Table>,
}

#[derive(Debug)]
pub(super) struct Page {
    url: Url,
    client: Client,
    /// Held over a fetch, so that callers who come meanwhile wait for its result.
    kept: Mutex<Option<Kept>>,
}

impl Page {
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        Ok(Self {
            url,
            client,
            kept: Mutex::new(None),
        })
    }

    pub(super) async fn table(&self) -> Arc<Table> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.until) {
            return Arc::clone(&kept.table);
        }
        let (table, time) = match self.fetch().await {
            Ok(table) => (table, KEPT),
            Err(fault) => (self.fallback(&fault), KEPT_AFTER_A_FAULT),
        };
        let table = Arc::new(table);
        *kept = Some(Kept {
            until: Instant::now() + time,
            table: Arc::clone(&table),
        });
        table
    }

    async fn fetch(&self) -> Result<Table, Fault> {
        let mut response = self.client.get(self.url.clone()).send().await?;
        if !response.status().is_success() {
            return Err(Fault::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(Fault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let markdown = String::from_utf8(body)?;
        let runtimes = page::read(&markdown)?;
        Ok(Table {
            source: Source::Live,
            as_of: today_in_utc(),
            runtimes,
            warning: None,
        })
    }

    fn fallback(&self, fault: &Fault) -> Table {
        tracing::warn!(url = %self.url, cause = ?fault, "the page of runtimes is not used: {fault}");
        let snapshot = Table::snapshot();
        let warning = format!(
            "AWS's page of runtimes is not used because {fault}; these dates are of {} and AWS may have moved them",
            snapshot.as_of
        );
        Table {
            warning: Some(warning),
            ..snapshot.clone()
        }
    }
}
