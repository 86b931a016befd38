//! Several instances of one server behind a load balancer, which are ended and replaced while they are used.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use tokio::process::Command;

use crate::{
    balancer::{Balancer, Order, Settings, State},
    program::{self, Program},
};

/// What a fleet shall be.
#[derive(Debug, Clone)]
#[must_use]
pub struct Plan {
    binary: PathBuf,
    instances: usize,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    balancer: Settings,
}

impl Plan {
    /// So many instances of one of Skydock's servers, behind a balancer without affinity.
    pub fn of(instances: usize, binary: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            instances,
            flags: Vec::new(),
            variables: Vec::new(),
            balancer: Settings::default(),
        }
    }

    /// Flags of each instance, beside `--listen`.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Variables in the environment of each instance.
    pub fn variables<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.variables
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// How the balancer does its work.
    pub fn balancer(mut self, settings: Settings) -> Self {
        self.balancer = settings;
        self
    }

    /// Starts all and waits until the balancer finds each instance healthy.
    ///
    /// # Errors
    /// An instance or the balancer does not start.
    pub async fn start(self) -> Result<Fleet> {
        let start = (0..self.instances).map(|_| Program::start(|addr| self.command(addr), "/readyz"));
        let instances = try_join_all(start).await?;
        let addrs: Vec<SocketAddr> = instances.iter().map(Program::addr).collect();
        let balancer = Balancer::start(&addrs, &self.balancer).await?;
        Ok(Fleet {
            plan: self,
            instances,
            balancer,
        })
    }

    fn command(&self, addr: SocketAddr) -> Command {
        let mut command = program::command(&self.binary);
        command.args(["--listen", &addr.to_string()]).args(&self.flags);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running fleet. An instance has the number that it has as a target of the balancer.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    instances: Vec<Program>,
    balancer: Balancer,
}

impl Fleet {
    /// The address of the MCP endpoint, at the balancer.
    #[must_use]
    pub fn mcp(&self) -> String {
        self.balancer.mcp()
    }

    /// The balancer.
    #[must_use]
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// One instance, past the balancer.
    ///
    /// # Errors
    /// There is none with this number.
    pub fn instance(&mut self, number: usize) -> Result<&mut Program> {
        let found = self.instances.get_mut(number);
        found.with_context(|| format!("there is no instance {number}"))
    }

    /// Ends an instance without a word (SIGKILL). The balancer does not know yet.
    ///
    /// # Errors
    /// There is none with this number.
    pub async fn kill(&mut self, number: usize) -> Result<()> {
        self.instance(number)?.kill().await
    }

    /// Asks an instance to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// It has ended already, or does not end in time.
    pub async fn end(&mut self, number: usize, within: Duration) -> Result<ExitStatus> {
        let instance = self.instance(number)?;
        instance.terminate()?;
        instance.ended(within).await
    }

    /// Starts another instance on the port of one that has ended, and waits until the balancer gives it requests.
    ///
    /// # Errors
    /// The old one is still running, or the new one does not start.
    pub async fn replace(&mut self, number: usize) -> Result<()> {
        let old = self.instance(number)?;
        ensure!(old.has_ended()?, "instance {number} is still running");
        let addr = old.addr();
        // until then, that it is healthy is said of the old one
        if self.balancer.target(number).await?.state != State::Deregistered {
            self.balancer.until(number, State::Down).await?;
        }
        let start = |addr| self.plan.command(addr);
        let new = Program::start_at(addr, start, "/readyz").await?;
        *self.instance(number)? = new;
        self.balancer.order(number, Order::Ready).await?;
        self.balancer.until(number, State::Up).await
    }

    /// Ends all instances that still run, in the ordinary way, and says how that went.
    ///
    /// # Errors
    /// One does not end in time.
    pub async fn stop(self) -> Result<Vec<ExitStatus>> {
        let mut running = Vec::new();
        for mut instance in self.instances {
            if !instance.has_ended()? {
                running.push(instance.stop());
            }
        }
        try_join_all(running).await
    }
}
