//! What stands around a function: what feeds it, and how much of it may run at once.

use super::{Account, Error, FunctionName};

/// A stream or queue that a function reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventSource {
    /// The ARN of the stream or queue; none for self-managed brokers.
    pub arn: Option<String>,
    /// `Enabled`, `Disabled`, `Creating`, ….
    pub state: Option<String>,
    /// How many records it hands over at most at once.
    pub batch_size: Option<i32>,
}

/// How much of a function may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Concurrency {
    /// What is kept free for it and is its limit; none: it shares the account's.
    pub reserved: Option<i32>,
}

impl Account {
    /// What feeds a function: its event source mappings. Triggers that push (an API, a bucket, a topic) are not among
    /// them, as Lambda does not know those.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn event_sources(&self, name: &FunctionName) -> Result<Vec<EventSource>, Error> {
        let call = self.call("ListEventSourceMappings", name.as_str());
        let found = self
            .client
            .list_event_source_mappings()
            .function_name(name.as_str())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| call.refused(error))?;
        let source = |found: aws_sdk_lambda::types::EventSourceMappingConfiguration| EventSource {
            arn: found.event_source_arn,
            state: found.state,
            batch_size: found.batch_size,
        };
        Ok(found.into_iter().map(source).collect())
    }

    /// How much of a function may run at once.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn concurrency(&self, name: &FunctionName) -> Result<Concurrency, Error> {
        let call = self.call("GetFunctionConcurrency", name.as_str());
        let answer = self
            .client
            .get_function_concurrency()
            .function_name(name.as_str())
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Concurrency {
            reserved: answer.reserved_concurrent_executions,
        })
    }
}
