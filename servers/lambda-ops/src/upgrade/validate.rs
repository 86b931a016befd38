//! Tries the new runtime: publishes it as a version, asks AWS whether that could be run, and runs it if there is an event.

use tokio::time::timeout;

use super::{
    journal::Event,
    procedure::{Change, Stop},
    report::{Phase, State},
    settle::{Looks, passes},
    trail::Shown,
};
use crate::account::{Configuration, Error, FunctionName};

/// How much of what a function answers is kept, in characters.
const SHOWN: usize = 600;

/// Publishes the function on its new runtime and tries that version.
pub(super) async fn run(
    change: &mut Change<'_>,
    after: &Configuration,
    event: Option<&str>,
) -> Result<(), Stop> {
    change.go_on("publishing the new version")?;
    change.journal(Phase::Publish, Event::PublishingNew).await?;
    let version = match publish(change, after).await {
        Ok(version) => version,
        Err(reason) => return Err(change.stop(Phase::Publish, reason)),
    };
    change.record.new_version = Some(version.clone());
    change
        .journal(
            Phase::Publish,
            Event::PublishedNew {
                version: version.clone(),
            },
        )
        .await?;
    if let Err(reason) = ready(change, &version).await {
        return Err(change.stop(Phase::Publish, reason));
    }
    let detail = format!("version {version} is {} for good", change.record.to);
    change.record.note(Phase::Publish, State::Done, detail);
    change.go_on("the dry run")?;
    dry_run(change, &version).await?;
    let Some(event) = event else {
        let detail = "there is no test event, or none may be used, so the function was not run";
        change.record.note(Phase::Test, State::Skipped, detail);
        return Ok(());
    };
    change.go_on("the test")?;
    change.journal(Phase::Test, Event::Testing).await?;
    let verdict = test(change, &version, event).await;
    let passed = verdict.is_ok();
    change.journal(Phase::Test, Event::Tested { passed }).await?;
    let state = if passed { State::Done } else { State::Failed };
    let (Ok(Said { detail, output }) | Err(Said { detail, output })) = verdict;
    change.record.note_with(Phase::Test, state, detail, output);
    if passed {
        Ok(())
    } else {
        Err(Stop::Back { another: true })
    }
}

/// Publishes $LATEST. AWS answers a repeated request with the same version, so a lost answer is asked for again.
async fn publish(change: &mut Change<'_>, after: &Configuration) -> Result<String, String> {
    let description = format!("on {}, by lambda-ops", change.record.to);
    let mut revision = after.revision_id.clone();
    let mut looks = Looks::new(change.surroundings.patience.version);
    loop {
        let error = match change
            .account
            .publish(change.function, &description, revision.as_deref())
            .await
        {
            Ok(version)
                if version
                    .runtime
                    .as_deref()
                    .is_none_or(|runtime| runtime == change.record.to) =>
            {
                return Ok(version.version);
            }
            Ok(version) => {
                let runtime = version.runtime.unwrap_or_default();
                return Err(format!("somebody else set the runtime to {runtime} meanwhile"));
            }
            Err(error) => error,
        };
        if !passes(&error) || change.surroundings.cancelled.is_cancelled() {
            return Err(error.say());
        }
        change
            .record
            .tell(format!("publishing again, because {}", error.say()));
        if !looks.pause().await {
            return Err(error.say());
        }
        // the lost request may have moved the revision
        if let Ok(now) = change.account.configuration(change.function).await {
            match change.record.trail.shown(&now) {
                Shown::New => revision = now.revision_id,
                Shown::Past => {}
                // putting back looks again, and leaves what is not ours
                Shown::Old | Shown::Foreign => return Err(change.record.trail.foreign(&now)),
            }
        }
    }
}

/// Waits until the version can be run.
async fn ready(change: &mut Change<'_>, version: &str) -> Result<(), String> {
    let name = format!("{}:{version}", change.record.plan.function_name);
    let name = FunctionName::parse(&name).map_err(|fault| fault.to_string())?;
    let mut looks = Looks::new(change.surroundings.patience.version);
    loop {
        let reason = match change.account.configuration(&name).await {
            Ok(now) => match now.state.as_deref() {
                Some("Pending") => format!("version {version} is not ready yet"),
                Some("Failed") => return Err(format!("AWS could not make version {version} ready")),
                _ => return Ok(()),
            },
            Err(error) if passes(&error) => error.say(),
            Err(error) => return Err(error.say()),
        };
        change
            .record
            .tell(format!("waiting for version {version}, because {reason}"));
        let in_time = tokio::select! {
            biased;
            () = change.surroundings.cancelled.cancelled() => return Err(format!("cancelled before version {version} was ready")),
            in_time = looks.pause() => in_time,
        };
        if !in_time {
            return Err(reason);
        }
    }
}

async fn dry_run(change: &mut Change<'_>, version: &str) -> Result<(), Stop> {
    let mut looks = Looks::new(change.surroundings.patience.lost);
    loop {
        match change.account.try_invoke(change.function, Some(version)).await {
            Ok(()) => {
                change.record.note(
                    Phase::DryRun,
                    State::Done,
                    format!("AWS would run version {version}"),
                );
                return Ok(());
            }
            Err(error) if passes(&error) && looks.pause().await => {
                change
                    .record
                    .tell(format!("asking again, because {}", error.say()));
            }
            Err(error) => return Err(change.stop(Phase::DryRun, error.say())),
        }
    }
}

/// What came of a run.
struct Said {
    detail: String,
    output: Option<String>,
}

impl From<String> for Said {
    fn from(detail: String) -> Self {
        Self { detail, output: None }
    }
}

/// Runs the version once. What it says is kept apart, as data.
async fn test(change: &Change<'_>, version: &str, event: &str) -> Result<Said, Said> {
    let patience = change.surroundings.patience.test;
    let run = change.account.invoke(change.function, Some(version), event);
    let ran = tokio::select! {
        biased;
        () = change.surroundings.cancelled.cancelled() => return Err("cancelled while the test was running".to_owned().into()),
        ran = timeout(patience, run) => ran,
    };
    let Ok(ran) = ran else {
        let limit = patience.as_secs_f32();
        return Err(
            format!("test failed: no answer within {limit} s; the function may still be running").into(),
        );
    };
    let run = ran.map_err(|error| match error {
        // AWS quotes what it does not accept: that is the event
        Error::Invalid { .. } => Said::from("AWS does not accept the test event".to_owned()),
        error => Said::from(format!("the function could not be tested: {}", error.say())),
    })?;
    let output = Some(run.payload.chars().take(SHOWN).collect());
    match run.function_error {
        None => Ok(Said {
            detail: "the function ran without an error; `output` is untrusted".to_owned(),
            output,
        }),
        Some(kind) => Err(Said {
            detail: format!("the function failed ({kind}); `output` is untrusted"),
            output,
        }),
    }
}
