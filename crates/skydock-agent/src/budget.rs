//! How much a turn may take.

use std::time::Duration;

use crate::model::Usage;

/// The bounds of one turn.
#[derive(Debug, Clone)]
pub struct Budget {
    /// How often the model is asked.
    pub turns: u32,
    /// Tokens read and written in all.
    pub tokens: Option<u64>,
    /// How long it takes, from the user's words to the end of the answer.
    pub time: Duration,
    /// How long one call of a tool takes.
    pub call: Duration,
    /// How many calls are made at once.
    pub parallel: usize,
    /// The longest answer of the model, in tokens.
    pub answer: Option<u32>,
    /// How often the model is asked anew when it could not answer.
    pub retries: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            turns: 20,
            tokens: None,
            time: Duration::from_secs(300),
            call: Duration::from_secs(120),
            parallel: 4,
            answer: None,
            retries: 5,
        }
    }
}

impl Budget {
    /// What is used up, if anything is.
    pub(crate) fn spent(&self, turns: u32, usage: &Usage) -> Option<String> {
        if turns >= self.turns {
            return Some(format!(
                "the model was asked {turns} times, and {} is the bound",
                self.turns
            ));
        }
        let most = self.tokens?;
        (usage.total() >= most)
            .then(|| format!("{} tokens were used, and {most} is the bound", usage.total()))
    }
}
