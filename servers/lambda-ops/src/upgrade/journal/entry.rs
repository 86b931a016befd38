//! One entry that is being written: whoever has it is the only one at that change.

use std::sync::Arc;

use super::{Event, Fault, apart, line, paper::Paper};

/// An entry that is open. Dropped without its last line, it is left to whoever recovers.
#[derive(Debug)]
pub(in crate::upgrade) struct Entry {
    id: String,
    paper: Arc<Paper>,
    /// How many bytes of it are whole lines.
    good: u64,
}

impl Entry {
    pub(super) fn new(id: String, paper: Paper, good: u64) -> Self {
        Self {
            id,
            paper: Arc::new(paper),
            good,
        }
    }

    /// Its name in the journal.
    pub(in crate::upgrade) fn id(&self) -> &str {
        &self.id
    }

    /// Writes a line. On return it is on disk.
    pub(in crate::upgrade) async fn write(&mut self, event: &Event) -> Result<(), Fault> {
        let line = line::written(event).map_err(|cause| Fault::new(&*self.id, "written", cause))?;
        let (paper, good, length) = (Arc::clone(&self.paper), self.good, line.len());
        let id = self.id.clone();
        apart(move || {
            paper
                .append(good, &line)
                .map_err(|cause| Fault::new(id, "written", cause))
        })
        .await?;
        self.good += u64::try_from(length).unwrap_or_default();
        Ok(())
    }

    /// The same, for whoever is among those that may wait for the disk.
    pub(super) fn write_now(&mut self, event: &Event) -> Result<(), Fault> {
        let fault = |cause| Fault::new(&*self.id, "written", cause);
        let line = line::written(event).map_err(|cause| fault(cause.into()))?;
        self.paper.append(self.good, &line).map_err(fault)?;
        self.good += u64::try_from(line.len()).unwrap_or_default();
        Ok(())
    }
}
