//! The finance agent of the demo: it approves budgets, and speaks Agent2Agent.

use std::sync::Arc;

use anyhow::{Context, Result};
use reqwest::Url;
use skydock::{Listening, Site};
use skydock_agent::{
    Agent,
    a2a::{self, Assistant, Service, protocol::AgentSkill, store::Sqlite},
    model::Scripted,
    store,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What it says: a script in any case, as budgets are no matter of opinion.
const SCRIPT: &str = include_str!("finance.toml");
const DESCRIPTION: &str = "Says whether what a trip costs is within the budget.";

/// The agent, which is asked over HTTP on loopback.
pub(super) struct Finance {
    listening: Listening,
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

impl Finance {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("cannot listen on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let model = Scripted::parse("the script of the finance agent", SCRIPT)?;
        let agent = Agent::new(Arc::new(model), Arc::new(store::Sqlite::in_memory()?));
        let skill = AgentSkill {
            id: "approve-budget".to_owned(),
            name: "Approve a budget".to_owned(),
            description: DESCRIPTION.to_owned(),
            tags: vec!["finance".to_owned()],
            examples: Some(vec![
                "Dallas for three days costs $492. Is that within the budget?".to_owned(),
            ]),
            input_modes: None,
            output_modes: None,
            security_requirements: None,
        };
        let card = a2a::card("AcmeCorp Finance", DESCRIPTION, &url, vec![skill]);
        let tasks = Arc::new(Sqlite::in_memory()?);
        let service = Service::new(card, tasks, Arc::new(Assistant::new(agent)));
        let stop = CancellationToken::new();
        let router = a2a::router(service.clone());
        let worker = tokio::spawn({
            let stop = stop.clone();
            async move { service.work(stop).await }
        });
        Ok(Self {
            listening: Site::new(router).listen(listener)?,
            stop,
            worker,
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> Result<Url> {
        Ok(Url::parse(&self.listening.url())?)
    }

    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        // a worker that broke has nothing more to give back
        let _ = (&mut self.worker).await;
        self.listening.stop().await;
    }
}
