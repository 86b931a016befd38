//! The agent in AWS Lambda: what it does for other agents, it does in invocations of its own, as an environment that has
//! answered is frozen.

use std::{env, error::Error, time::Duration};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_sdk_lambda::{Client, error::DisplayErrorContext, primitives::Blob, types::InvocationType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skydock::{Failed, Function, Invocation};
use skydock_agent::{
    a2a::{Dispatch, Ran, Service, store},
    client::tell,
};
use tokio::time::Instant;

/// How much of an invocation's time is left when a schedule's work ends.
const RESERVE: Duration = Duration::from_secs(1);

/// What it invokes itself with.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    a2a: Named,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    task: String,
}

/// Has tasks done by asynchronous invocations of this function:
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html>.
#[derive(Debug)]
pub(super) struct Itself {
    client: Client,
    function: String,
    version: Option<String>,
}

impl Itself {
    /// The function that this process is an environment of, by what Lambda has put into its environment.
    ///
    /// # Errors
    /// What is missing.
    pub(super) async fn find() -> Result<Self, String> {
        let function = env::var("AWS_LAMBDA_FUNCTION_NAME")
            .map_err(|_none| "--a2a: AWS_LAMBDA_FUNCTION_NAME is not set; AWS Lambda sets it".to_owned())?;
        // the version that answers does the work too, and not the one that is deployed next
        let version = env::var("AWS_LAMBDA_FUNCTION_VERSION").ok();
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        Ok(Self {
            client: Client::new(&config),
            function,
            version: version.filter(|version| version != "$LATEST"),
        })
    }
}

#[async_trait]
impl Dispatch for Itself {
    async fn dispatch(&self, task: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        let errand = Errand {
            a2a: Named {
                task: task.to_owned(),
            },
        };
        let invoked = self
            .client
            .invoke()
            .function_name(&self.function)
            .set_qualifier(self.version.clone())
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(serde_json::to_vec(&errand)?));
        match invoked.send().await {
            Ok(_taken) => Ok(()),
            Err(error) => Err(DisplayErrorContext(error).to_string().into()),
        }
    }
}

/// Does what an invocation of this function's own wants, and what a schedule does.
#[derive(Debug)]
pub(super) struct Errands(pub(super) Service);

impl Function for Errands {
    async fn answer(&self, event: Value, invocation: &Invocation) -> Result<Value, Failed> {
        let until = invocation.answer_by();
        if event.is_object()
            && let Ok(errand) = Errand::deserialize(&event)
        {
            return self.work(&errand.a2a.task, until).await;
        }
        if is_schedule(&event) {
            return self.look_after(until).await;
        }
        Err(Failed {
            kind: Failed::UNKNOWN_EVENT,
            message:
                "cannot answer this event; this function answers HTTP, its own invocations, and schedules"
                    .to_owned(),
        })
    }
}

impl Errands {
    async fn work(&self, task: &str, until: Option<Instant>) -> Result<Value, Failed> {
        // Lambda invokes it again when this fails
        let ran = self
            .0
            .run_alone(task, until)
            .await
            .map_err(|error| failed(&error))?;
        let ran = match ran {
            Ran::Ended => "ended",
            Ran::Nothing => "nothing to do",
            Ran::Elsewhere => "worked on elsewhere",
            Ran::Later(_) => "to be worked on later",
            _ => "taken away",
        };
        tracing::info!(task, ran, "an invocation for a task");
        Ok(json!({ "ran": ran }))
    }

    /// Sends on what was lost, and tells webhooks what is due.
    async fn look_after(&self, until: Option<Instant>) -> Result<Value, Failed> {
        let sent = self.0.sweep_once().await;
        let mut told = 0_usize;
        let deliver = async {
            loop {
                match self.0.deliver_due().await? {
                    0 => return Ok(()),
                    count => told = told.saturating_add(count),
                }
            }
        };
        // what is not told by then is told by the next schedule
        let delivered = match until {
            Some(until) => {
                let until = until.checked_sub(RESERVE).unwrap_or(until);
                tokio::time::timeout_at(until, deliver).await.unwrap_or(Ok(()))
            }
            None => deliver.await,
        };
        let sent = sent.map_err(|error: store::Failure| failed(&error))?;
        delivered.map_err(|error: store::Failure| failed(&error))?;
        Ok(json!({ "sent": sent, "told": told }))
    }
}

/// An event of EventBridge's schedules, or nothing at all, as a warmer sends it.
fn is_schedule(event: &Value) -> bool {
    let source = event.get("source").and_then(Value::as_str);
    event.is_null() || matches!(source, Some("aws.events" | "aws.scheduler"))
}

fn failed(error: &(dyn Error + 'static)) -> Failed {
    let reference = skydock::reference();
    tracing::error!(cause = tell(error), reference, "an invocation failed");
    Failed {
        kind: "Skydock.Failed",
        message: format!("it failed, reference {reference}; the log has more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_known_by_their_source() {
        for event in [
            json!(null),
            json!({"source": "aws.events", "detail-type": "Scheduled Event"}),
        ] {
            assert!(is_schedule(&event), "{event}");
        }
        for event in [json!({}), json!("hello"), json!({"source": "aws.s3"})] {
            assert!(!is_schedule(&event), "{event}");
        }
    }
}
