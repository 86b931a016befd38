//! The agent behind HTTP: a web chat and its API, on an address or in AWS Lambda.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use skydock::{Config, Error, Faults, Site};
use skydock_agent::{
    Agent,
    a2a::{self, Service},
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
    let Some(agent) = agent else {
        return Err(Usage::new("the agent could not be built").into());
    };
    match Site::serve(&args.host, async |config| args.site(agent, config).await).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.exit_code() == 2 => Err(Usage::new(error.report()).into()),
        Err(error) => Err(error.into()),
    }
}

impl Args {
    fn in_lambda(&self) -> bool {
        self.host.lambda_runtime_api.is_some() && self.host.listen.is_none()
    }

    fn face(&self) -> Face {
        let usual = Face::default();
        Face {
            title: self.title.clone().unwrap_or(usual.title),
            greeting: self.greeting.clone().unwrap_or(usual.greeting),
            suggestions: self.suggestions.clone(),
        }
    }

    /// How users are known where the configuration says that the agent is.
    fn sign_in(&self, config: &Config) -> SignIn {
        match config.listen {
            // behind a name there may be a proxy, and everybody behind that
            Some(address) if address.ip().is_loopback() && config.hosts.is_empty() => {
                // where it is stands in the log, when it is known that it is there
                screen::note(&format!("The web chat is for {}.", self.user));
                SignIn::Fixed(self.user.clone())
            }
            _ => SignIn::Platform,
        }
    }

    /// The page, the API, and what answers other agents.
    async fn site(&self, mut agent: Agent, config: &Config) -> Result<Site, Error> {
        if self.in_lambda() {
            // an answer to a question would be another invocation, in another environment
            agent = agent.without_questions();
        }
        let (face, sign_in, stop) = (self.face(), self.sign_in(config), CancellationToken::new());
        let others = self.others(agent.clone(), &face.title, config).await;
        let others = others.map_err(|fault| Error::from(Faults::one("and then", "", fault)))?;
        let turns = agent.turns();
        let router = web::router(agent, face, sign_in.clone(), stop.clone());
        let site = |router| Site::new(router).with_stop(stop.clone()).with_work(turns);
        let Some(service) = others else {
            return Ok(site(router));
        };
        let router = router.merge(web::for_agents(service.clone(), &sign_in));
        let site = site(router).with_published(a2a::published(&service));
        if self.in_lambda() {
            return Ok(site.with_function(Errands(service)));
        }
        tokio::spawn(async move { service.work(stop).await });
        Ok(site)
    }

    /// What answers other agents, when they may ask. In Lambda it has their tasks done by further invocations.
    async fn others(&self, agent: Agent, name: &str, config: &Config) -> Result<Option<Service>, String> {
        if self.in_lambda() {
            self.a2a.check_for_lambda()?;
        }
        let service = self.a2a.service(agent, name, config.listen).await?;
        let Some(service) = service else { return Ok(None) };
        let service = service.with_user(&self.user);
        if !self.in_lambda() {
            return Ok(Some(service));
        }
        Ok(Some(service.with_dispatch(Arc::new(Itself::find().await?))))
    }
}
