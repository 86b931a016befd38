//! Many changes as one: a canary first, then the others one by one, and the first that does not work ends it.

use tokio::time::Instant;

use super::{Ready, Refusal, Report, Request, Surroundings, run};
use crate::account::Account;

/// One change of many.
#[derive(Debug)]
#[non_exhaustive]
pub struct Item {
    /// What is asked for.
    pub request: Request,
    /// What the check came to.
    pub ready: Ready,
}

impl Item {
    /// A change that may be made.
    #[must_use]
    pub fn new(request: Request, ready: Ready) -> Self {
        Self { request, ready }
    }

    /// Notes how the user agreed.
    #[must_use]
    pub fn agreed(self, how: &str) -> Self {
        Self {
            ready: self.ready.agreed(how),
            ..self
        }
    }
}

/// What became of one of them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It was begun, and ended so.
    Ended(Box<Report>),
    /// It was not begun, for this reason.
    Refused(Refusal),
    /// It was left alone, because one before it did not work, it was cancelled, or the time was up.
    Left(&'static str),
}

impl Fate {
    /// True if the function runs on its new runtime.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Ended(report) if !report.has_failed())
    }
}

/// Makes the changes in their order. None is begun after one that did not work, after the cancellation, or after
/// `until`; the one under way ends as [`run`] says.
pub async fn run_all(
    account: &Account,
    items: Vec<Item>,
    surroundings: &Surroundings,
    until: Option<Instant>,
) -> Vec<Fate> {
    let (all, mut fates) = (items.len(), Vec::with_capacity(items.len()));
    let mut left = None;
    for (number, Item { request, ready }) in items.into_iter().enumerate() {
        if surroundings.cancelled.is_cancelled() {
            left = left.or(Some("not begun: cancelled before it"));
        } else if until.is_some_and(|until| Instant::now() >= until) {
            left = left.or(Some(
                "not begun: the time of this call was up; call again for the rest",
            ));
        }
        if let Some(reason) = left {
            fates.push(Fate::Left(reason));
            continue;
        }
        let name = &ready.plan.function_name;
        // nobody has to listen
        drop(
            surroundings
                .progress
                .send(format!("{} of {all}: {name}", number + 1)),
        );
        let fate = match run(account, &request, ready, surroundings).await {
            Ok(report) => Fate::Ended(Box::new(report)),
            Err(refusal) => Fate::Refused(refusal),
        };
        if !fate.is_good() {
            left = Some("not begun: one before it did not work");
        }
        fates.push(fate);
    }
    fates
}
