//! Recovery as work of its own: one at a time, and whoever asked for it may leave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{
        OwnedMutexGuard,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    task::JoinError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    LambdaOps, account,
    audit::Who,
    upgrade::{self, Journal, Recovered, Refusal, Running},
};

/// The recoveries of this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recoveries {
    /// Held while changes are recovered.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was recovered and nobody has been told.
    untold: Arc<Mutex<Vec<Recovered>>>,
}

/// What a recovery came to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Vec<Recovered>,
    /// Changes that are under way and were left to whoever is at them.
    pub(crate) running: Vec<Running>,
}

/// Why changes could not be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecovered {
    /// The journal cannot be read, or AWS does not say which account this is.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The recovery was cut off: what it had not finished is still in the journal.
    #[error("the recovery broke off")]
    Aborted(#[from] JoinError),
}

impl Recoveries {
    fn untold(&self) -> MutexGuard<'_, Vec<Recovered>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, recovered: Recovered) {
        let mut untold = self.untold();
        // what was open may have been looked at again
        untold.retain(|earlier| earlier.id != recovered.id);
        untold.push(recovered);
    }
}

impl LambdaOps {
    /// Finishes or undoes every change that a server with the same journal left in the middle. One recovery goes on at
    /// a time; a second one waits. What was recovered before and nobody was told comes with it. Dropped, the recovery
    /// goes on, and the next who asks is told.
    ///
    /// # Errors
    /// If the journal cannot be read, or AWS does not say which account this is.
    pub async fn recover(&self) -> Result<Vec<Recovered>, NotRecovered> {
        let (progress, _nobody) = unbounded_channel();
        let found = self.recover_for(Who::default(), progress).await?;
        Ok(found.recovered)
    }

    /// Begins [`LambdaOps::recover`] and leaves it to itself, if changing is permitted.
    pub fn recover_in_background(&self) {
        if !self.allow.may_write() {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let turn = Arc::clone(&server.recoveries.turn).lock_owned().await;
            let (progress, _nobody) = unbounded_channel();
            if let Err(fault) = Box::pin(server.recover_now(turn, Who::default(), progress)).await {
                tracing::error!(cause = account::chain(&fault), "changes cannot be recovered");
            }
        });
    }

    pub(crate) async fn recover_for(
        &self,
        who: Who,
        progress: UnboundedSender<String>,
    ) -> Result<Found, NotRecovered> {
        let turn = Arc::clone(&self.recoveries.turn);
        let turn = match Arc::clone(&turn).try_lock_owned() {
            Ok(turn) => turn,
            Err(_taken) => {
                // nobody has to listen
                drop(progress.send("waiting for the recovery that is going on".to_owned()));
                turn.lock_owned().await
            }
        };
        // whoever asked may be gone before it ends (a host's deadline, a client that left)
        let server = self.clone();
        let recovery = tokio::spawn(async move { Box::pin(server.recover_now(turn, who, progress)).await });
        let running = recovery.await??;
        let recovered = std::mem::take(&mut *self.recoveries.untold());
        Ok(Found { recovered, running })
    }

    async fn recover_now(
        &self,
        _turn: OwnedMutexGuard<()>,
        who: Who,
        progress: UnboundedSender<String>,
    ) -> Result<Vec<Running>, Refusal> {
        let surroundings = self.surroundings(who, CancellationToken::new(), progress);
        let tell = |recovered| self.recoveries.add(recovered);
        Box::pin(upgrade::recover(&self.account, &surroundings, tell)).await
    }
}

/// Says in the log what a journal holds open, and that nobody recovers it where that is so.
pub(crate) async fn announce(journal: &Journal, may_write: bool) {
    let open = match journal.names().await {
        Ok(open) => open,
        Err(fault) => {
            let cause = account::chain(&fault);
            tracing::error!(cause, "the journal cannot be looked through");
            return;
        }
    };
    tracing::info!(open = open.len(), "changes that the journal holds open");
    if !may_write && !open.is_empty() {
        let entries = open.join(", ");
        tracing::warn!(
            entries,
            "changes of runtimes were left in the middle, and this server may not finish them; start one with --allow write"
        );
    }
}
