//! The agent behind HTTP: a web chat and its API, on an address or in AWS Lambda.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use axum::Router;
use skydock::{Error, Faults, Site};
use skydock_agent::{
    a2a,
    web::{self, Face, SignIn},
};
use tokio_util::sync::CancellationToken;

use super::{
    Flags, LOCAL,
    lambda::{Errands, Itself},
    others,
};
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
    let in_lambda = args.host.lambda_runtime_api.is_some() && args.host.listen.is_none();
    if in_lambda {
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
        let wrong = |fault| Error::from(Faults::one("and then", "", fault));
        if in_lambda {
            args.a2a.check_for_lambda().map_err(wrong)?;
        }
        let others = args.a2a.service(agent.clone(), &face.title, config.listen).await;
        let others = others.map_err(wrong)?;
        let stop = CancellationToken::new();
        let turns = agent.turns();
        let mut published = Router::new();
        let mut router = web::router(agent, face, sign_in.clone(), stop.clone());
        let mut errands = None;
        if let Some(service) = others {
            let mut service = service.with_user(&args.user);
            if in_lambda {
                service = service.with_dispatch(Arc::new(Itself::find().await.map_err(wrong)?));
                errands = Some(Errands(service.clone()));
            } else {
                let (service, stop) = (service.clone(), stop.clone());
                tokio::spawn(async move { service.work(stop).await });
            }
            router = router.merge(web::for_agents(service.clone(), &sign_in));
            published = a2a::published(&service);
        }
        let site = Site::new(router)
            .with_stop(stop)
            .with_work(turns)
            .with_published(published);
        Ok(match errands {
            Some(errands) => site.with_function(errands),
            None => site,
        })
    });
    match served.await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.exit_code() == 2 => Err(Usage::new(error.report()).into()),
        Err(error) => Err(error.into()),
    }
}
