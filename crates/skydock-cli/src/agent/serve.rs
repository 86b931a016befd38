//! The agent behind HTTP: a web chat and its API, on an address or in AWS Lambda.

use std::process::ExitCode;

use anyhow::Result;
use axum::Router;
use skydock::{Error, Faults, Site};
use skydock_agent::{
    a2a,
    web::{self, Face, SignIn},
};
use tokio_util::sync::CancellationToken;

use super::{Flags, LOCAL, others};
use crate::{screen, usage::Usage};

/// Serve the agent over HTTP: a web chat at /, and its API under /api
///
/// On a loopback address whoever can reach it is the user. Elsewhere, and in AWS Lambda, nobody gets in whom the
/// platform or a token does not name.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: Flags,
    #[command(flatten)]
    host: skydock::Flags,
    #[command(flatten)]
    a2a: others::Flags,
    /// The user, on a loopback address
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = LOCAL)]
    user: String,
    /// The heading of the web chat
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What the web chat says first; {user} is the user's name
    #[arg(long, value_name = "TEXT")]
    greeting: Option<String>,
    /// What the web chat suggests to ask (repeatable)
    #[arg(long = "suggest", value_name = "TEXT")]
    suggestions: Vec<String>,
}

/// Serves until a signal ends it.
pub(super) async fn run(args: &Args) -> Result<ExitCode> {
    let mut faults = Vec::new();
    let agent = args.agent.build(&mut faults).await;
    Usage::check(faults)?;
    let Some(mut agent) = agent else {
        return Err(Usage::new("the agent could not be built").into());
    };
    if args.host.lambda_runtime_api.is_some() && args.host.listen.is_none() {
        // an answer to a question would be another invocation, in another environment
        agent = agent.without_questions();
    }
    let usual = Face::default();
    let face = Face {
        title: args.title.clone().unwrap_or(usual.title),
        greeting: args.greeting.clone().unwrap_or(usual.greeting),
        suggestions: args.suggestions.clone(),
    };
    let served = Site::serve(&args.host, async |config| {
        let sign_in = match config.listen {
            // behind a name there may be a proxy, and everybody behind that
            Some(address) if address.ip().is_loopback() && config.hosts.is_empty() => {
                // where it is stands in the log, when it is known that it is there
                screen::note(&format!("The web chat is for {}.", args.user));
                SignIn::Fixed(args.user.clone())
            }
            _ => SignIn::Platform,
        };
        let others = args.a2a.service(agent.clone(), &face.title, config.listen).await;
        let others = others.map_err(|fault| Error::from(Faults::one("and then", "", fault)))?;
        let stop = CancellationToken::new();
        let turns = agent.turns();
        let mut published = Router::new();
        let mut router = web::router(agent, face, sign_in.clone(), stop.clone());
        if let Some(service) = others {
            let service = service.with_user(&args.user);
            router = router.merge(web::for_agents(service.clone(), &sign_in));
            published = a2a::published(&service);
            let stop = stop.clone();
            tokio::spawn(async move { service.work(stop).await });
        }
        Ok(Site::new(router)
            .with_stop(stop)
            .with_work(turns)
            .with_published(published))
    });
    match served.await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.exit_code() == 2 => Err(Usage::new(error.report()).into()),
        Err(error) => Err(error.into()),
    }
}
