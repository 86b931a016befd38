//! What is asked for again and again and may be a minute old: the tags and the names of all functions of a region.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Account, Error, tags::Tags};

const KEPT: Duration = Duration::from_mins(1);

/// The overviews of an account, by region. An account's siblings in other regions share them.
#[derive(Debug, Default)]
pub(super) struct Overviews(Mutex<HashMap<String, Arc<Overview>>>);

#[derive(Debug, Default)]
struct Overview {
    tagged: Kept<BTreeMap<String, Tags>>,
    names: Kept<Vec<String>>,
}

/// A value and when it was read. The lock is held over the call, so that callers who come meanwhile wait for its result.
#[derive(Debug)]
struct Kept<T>(tokio::sync::Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T> Kept<T> {
    async fn or_read(&self, read: impl Future<Output = Result<T, Error>>) -> Result<Arc<T>, Error> {
        let mut kept = self.0.lock().await;
        if let Some((since, value)) = kept.as_ref().filter(|(since, _)| since.elapsed() < KEPT) {
            tracing::trace!(age_ms = since.elapsed().as_millis(), "an overview is used again");
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(read.await?);
        *kept = Some((Instant::now(), Arc::clone(&value)));
        Ok(value)
    }
}

impl Overviews {
    fn of(&self, region: &str) -> Arc<Overview> {
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(regions.entry(region.to_owned()).or_default())
    }
}

impl Account {
    /// The tags of all functions that have any, by ARN: a hundred functions a call (`tag:GetResources`), kept for a
    /// minute. AWS itself keeps this overview a little behind; for a decision ask [`Account::tags`].
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn tagged(&self) -> Result<Arc<BTreeMap<String, Tags>>, Error> {
        let overview = self.overviews.of(&self.region);
        overview.tagged.or_read(self.read_tagged()).await
    }

    /// The names of all functions, sorted, kept for a minute.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn names(&self) -> Result<Arc<Vec<String>>, Error> {
        let overview = self.overviews.of(&self.region);
        overview.names.or_read(self.read_names()).await
    }

    async fn read_names(&self) -> Result<Vec<String>, Error> {
        let (mut names, mut marker) = (Vec::new(), None);
        loop {
            let page = self.list(marker.as_deref()).await?;
            names.extend(page.functions.into_iter().map(|function| function.name));
            marker = page.next;
            if marker.is_none() {
                names.sort_unstable();
                return Ok(names);
            }
        }
    }
}
