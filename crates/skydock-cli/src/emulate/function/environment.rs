//! One execution environment: a process, and the runtime API that it asks for work.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    process::Command,
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Failure, Invocation, Outcome, Settings,
    process::Process,
    runtime_api::{Job, Phase, RuntimeApi, Waiting},
};
use crate::emulate::contract;

/// An environment that was initialized.
pub(super) struct Environment {
    number: usize,
    api: RuntimeApi,
    process: Process,
    arn: String,
    timeout: Duration,
    concurrency: usize,
    freezes: bool,
}

/// What can be done with an environment after an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It waits for the next one.
    Fit,
    /// It has to be ended.
    Broken,
}

impl Environment {
    /// Starts the program, and waits until it asks for its first invocation.
    ///
    /// # Errors
    /// It cannot be started, ends, or takes longer than Lambda waits.
    pub(super) async fn start(settings: &Settings, number: usize) -> Result<Arc<Self>, Failure> {
        let cannot = |error: std::io::Error| {
            let program = settings.program.display();
            Failure::new(
                "Runtime.InvalidEntrypoint",
                &format!("cannot start {program}: {error}"),
            )
        };
        let api = RuntimeApi::open(&settings.name).await.map_err(cannot)?;
        let process = Process::start(command(settings, &api, number)).map_err(cannot)?;
        let environment = Self {
            number,
            api,
            process,
            arn: settings.arn.clone(),
            timeout: settings.timeout,
            concurrency: settings.concurrency,
            freezes: settings.freezes && settings.concurrency == 1,
        };
        environment.initialized().await?;
        Ok(Arc::new(environment))
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    async fn initialized(&self) -> Result<(), Failure> {
        let mut phase = self.api.phase();
        let ready = timeout(
            contract::INIT,
            phase.wait_for(|phase| phase.init_error.is_some() || self.is_idle(phase)),
        );
        let reached = tokio::select! {
            biased;
            reached = ready => reached,
            status = self.process.ended() => {
                // what it said last may be there already
                let said = self.api.phase().borrow().init_error.clone();
                return Err(said.unwrap_or_else(|| exited("none", status)));
            }
        };
        match reached {
            Ok(Ok(phase)) => phase.init_error.clone().map_or(Ok(()), Err),
            Ok(Err(_closed)) => Err(Failure::new("Runtime.Unknown", "the environment is gone")),
            Err(_late) => Err(Failure::new(
                "Sandbox.Timedout",
                &format!(
                    "the program did not ask for its first invocation within {} s; does it poll AWS_LAMBDA_RUNTIME_API, \
                     and was it not told to listen?",
                    contract::INIT.as_secs()
                ),
            )),
        }
    }

    /// Whether all that runs in it waits: then Lambda freezes it.
    fn is_idle(&self, phase: &Phase) -> bool {
        phase.polls >= self.concurrency && phase.extension != Some(false)
    }

    /// Has the process work on an invocation until it asks for the next one.
    pub(super) async fn work(
        &self,
        invocation: Invocation,
        answered: Arc<AtomicBool>,
        reply: oneshot::Sender<Outcome>,
    ) -> End {
        let id = uuid::Uuid::new_v4().to_string();
        let (done, finished) = oneshot::channel();
        let waiting = Waiting {
            reply,
            answered,
            done,
        };
        let until = Instant::now() + self.timeout;
        self.process.thaw();
        let job = Job {
            headers: self.headers(&id, &invocation),
            id: id.clone(),
            event: invocation.event,
        };
        self.api.give(job, waiting);
        let end = tokio::select! {
            biased;
            settled = timeout_at(until, self.settled(finished)) => settled.map_err(|_late| self.late(&id)),
            status = self.process.ended() => Err(exited(&id, status)),
        };
        match end {
            Ok(()) => End::Fit,
            Err(failure) => {
                self.process.kill();
                // what was answered is answered, and a stream breaks with its connection
                if let Some(waiting) = self.api.take_back(&id) {
                    waiting.answer(Outcome::Failed(failure));
                }
                End::Broken
            }
        }
    }

    /// Waits for the whole answer, and then until nothing runs any more. Where invocations overlap nothing is frozen.
    async fn settled(&self, finished: oneshot::Receiver<()>) {
        // it is told even of an answer that broke off; otherwise the process has ended
        if finished.await.is_err() {
            std::future::pending::<()>().await;
        }
        if self.concurrency == 1 {
            let mut phase = self.api.phase();
            let _closed = phase.wait_for(|phase| self.is_idle(phase)).await;
        }
    }

    fn late(&self, id: &str) -> Failure {
        let message = format!(
            "RequestId: {id} Error: Task timed out after {:.2} seconds",
            self.timeout.as_secs_f64()
        );
        Failure::new("Sandbox.Timedout", &message)
    }

    /// Freezes it until the next invocation, unless invocations overlap in it.
    pub(super) fn freeze(&self) {
        if self.freezes {
            self.process.freeze();
        }
    }

    /// Ends it: SIGTERM and a little time when it has an extension, else at once.
    pub(super) async fn end(&self) {
        self.process.thaw();
        if self.api.phase().borrow().extension.is_some() {
            self.process.terminate();
            let _late = timeout(contract::SHUTDOWN, self.process.ended()).await;
        }
        self.process.kill();
        self.process.ended().await;
    }

    fn headers(&self, id: &str, invocation: &Invocation) -> HeaderMap {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline = (now + self.timeout).as_millis().to_string();
        let pairs = [
            ("lambda-runtime-aws-request-id", Some(id)),
            ("lambda-runtime-deadline-ms", Some(&deadline)),
            ("lambda-runtime-invoked-function-arn", Some(&self.arn)),
            ("lambda-runtime-trace-id", Some(&invocation.trace_id)),
            (
                "lambda-runtime-client-context",
                invocation.client_context.as_deref(),
            ),
            ("content-type", Some("application/json")),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, value)| {
                let value = HeaderValue::from_str(value?).ok()?;
                Some((HeaderName::from_static(name), value))
            })
            .collect()
    }
}

/// What a caller is told of a process that has ended, in Lambda's words. (known)
fn exited(id: &str, status: ExitStatus) -> Failure {
    let why = match (status.code(), status.signal()) {
        (Some(0), _) => "without providing a reason".to_owned(),
        (Some(code), _) => format!("with error: exit status {code}"),
        (None, Some(signal)) => format!("with error: signal: {signal}"),
        (None, None) => format!("with error: {status}"),
    };
    let message = format!("RequestId: {id} Error: Runtime exited {why}");
    Failure::new("Runtime.ExitError", &message)
}

/// The program, with what Lambda puts into its environment. Region and credentials are the user's own.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>
fn command(settings: &Settings, api: &RuntimeApi, number: usize) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .args(&settings.arguments)
        .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &settings.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env(
            "AWS_LAMBDA_LOG_GROUP_NAME",
            format!("/aws/lambda/{}", settings.name),
        )
        .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("[$LATEST]{number:032x}"))
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("_HANDLER", "bootstrap")
        .env("TZ", ":UTC");
    if settings.concurrency > 1 {
        command
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")
            .env("AWS_LAMBDA_MAX_CONCURRENCY", settings.concurrency.to_string());
    }
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("SKYDOCK_") && !(settings.takes)(&known) {
            command.env_remove(&name);
        }
    }
    for (name, value) in &settings.variables {
        command.env(name, value);
    }
    command
}
