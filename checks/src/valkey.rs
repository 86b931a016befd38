//! Valkey, alone and as a cluster of three.

use std::{net::SocketAddr, path::Path, pin::Pin, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    ports,
    program::{self, Program},
    scratch::Scratch,
    tools,
};

/// The hash slots of a cluster.
const SLOTS: u32 = 16_384;
/// How long the nodes of a cluster may take to find each other.
const MEET: Duration = Duration::from_secs(30);
/// How often they are asked whether they have. There is no event to wait for.
const AGAIN: Duration = Duration::from_millis(50);

/// One server, which keeps nothing on disk.
#[derive(Debug)]
pub struct Valkey {
    program: Program,
    /// Where it listens for the other nodes of its cluster.
    bus: Option<SocketAddr>,
    home: Scratch,
}

impl Valkey {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start() -> Result<Self> {
        Self::node(None).await
    }

    async fn node(bus: Option<SocketAddr>) -> Result<Self> {
        let (binary, home) = (tools::valkey()?, Scratch::new("valkey")?);
        let start = |addr| command(&binary, addr, bus, &home);
        let program = Program::start_when(start, answers).await?;
        Ok(Self { program, bus, home })
    }

    /// Starts it again on the same port after its end. It knows nothing any more.
    ///
    /// # Errors
    /// It is still running, or does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let binary = tools::valkey()?;
        let start = |addr| command(&binary, addr, self.bus, &self.home);
        self.program = Program::start_at_when(self.program.addr(), start, answers).await?;
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.program.addr()
    }

    /// Its address, as `--sessions` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("valkey://{}", self.addr())
    }

    /// The process, to pause it or to end it.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// How much is in it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn size(&self) -> Result<Size> {
        let keys = self.ask(&["DBSIZE"]).await?;
        let memory = self.ask(&["INFO", "memory"]).await?;
        let memory = memory.as_str().unwrap_or_default();
        let memory = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(Size {
            keys: keys.as_u64().context("not a number of keys")?,
            memory: memory.context("no used_memory")?.parse()?,
        })
    }

    /// Sends one command, on a connection of its own.
    ///
    /// # Errors
    /// It does not answer, or answers with an error.
    pub async fn ask(&self, words: &[&str]) -> Result<Value> {
        ask(self.addr(), words).await
    }
}

/// How much is in a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of keys, some of which may have expired.
    pub keys: u64,
    /// The memory that it uses, in bytes.
    pub memory: u64,
}

/// Three servers that share the hash slots, without replicas.
#[derive(Debug)]
pub struct Cluster {
    nodes: [Valkey; 3],
}

impl Cluster {
    /// Starts them and waits until each says that the cluster is whole.
    ///
    /// # Errors
    /// Valkey is not installed, or a server does not start, or they do not find each other in time.
    pub async fn start() -> Result<Self> {
        let [first, second, third] = ports::several()?;
        let nodes = tokio::try_join!(
            Valkey::node(Some(first)),
            Valkey::node(Some(second)),
            Valkey::node(Some(third)),
        )?;
        let cluster = Self { nodes: nodes.into() };
        cluster.meet().await?;
        cluster.whole().await?;
        Ok(cluster)
    }

    /// Gives each its share of the slots and shows it to the first.
    async fn meet(&self) -> Result<()> {
        let [first, ..] = &self.nodes;
        let bus = first.bus.context("it is of a cluster")?.port().to_string();
        let (host, port) = (first.addr().ip().to_string(), first.addr().port().to_string());
        let mut from = 0;
        for (number, node) in (1..).zip(&self.nodes) {
            let end = SLOTS * number / 3;
            let range = [from.to_string(), (end - 1).to_string()];
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &number.to_string()])
                .await?;
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]])
                .await?;
            if number > 1 {
                node.ask(&["CLUSTER", "MEET", &host, &port, &bus]).await?;
            }
            from = end;
        }
        Ok(())
    }

    async fn whole(&self) -> Result<()> {
        let deadline = Instant::now() + MEET;
        for node in &self.nodes {
            loop {
                let told = node.ask(&["CLUSTER", "INFO"]).await?;
                let told = told.as_str().unwrap_or_default();
                if told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3") {
                    break;
                }
                ensure!(Instant::now() < deadline, "the cluster is not whole: {told}");
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    /// Its servers.
    pub fn nodes(&mut self) -> &mut [Valkey; 3] {
        &mut self.nodes
    }

    /// The address of its first server, from which a client finds the others.
    #[must_use]
    pub fn url(&self) -> String {
        let [first, ..] = &self.nodes;
        first.url()
    }
}

fn command(binary: &Path, addr: SocketAddr, bus: Option<SocketAddr>, home: &Scratch) -> Command {
    let mut command = program::command(binary);
    command
        .current_dir(home.path())
        .args(["--bind", &addr.ip().to_string()])
        .args(["--port", &addr.port().to_string()])
        .args(["--save", "", "--appendonly", "no"]);
    if let Some(bus) = bus {
        command
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
            .args(["--cluster-port", &bus.port().to_string()])
            .args(["--cluster-announce-ip", &addr.ip().to_string()]);
    }
    command
}

async fn answers(addr: SocketAddr) -> bool {
    ask(addr, &["PING"]).await.is_ok()
}

/// One command and its answer in RESP, the protocol of Valkey and Redis.
async fn ask(addr: SocketAddr, words: &[&str]) -> Result<Value> {
    let mut connection = BufReader::new(TcpStream::connect(addr).await?);
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    connection.write_all(request.as_bytes()).await?;
    read(&mut connection).await
}

/// An answer: a text, a number, null or an array of such.
fn read(connection: &mut BufReader<TcpStream>) -> Pin<Box<dyn Future<Output = Result<Value>> + Send + '_>> {
    Box::pin(async move {
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        let line = line.trim_end();
        let kind = line.chars().next().context("it hung up")?;
        let rest = line.get(1..).unwrap_or_default();
        Ok(match kind {
            '+' => rest.into(),
            ':' => rest.parse::<i64>()?.into(),
            '$' | '*' if rest == "-1" => Value::Null,
            '$' => {
                let mut text = vec![0; rest.parse()?];
                connection.read_exact(&mut text).await?;
                connection.read_line(&mut String::new()).await?;
                String::from_utf8_lossy(&text).into()
            }
            '*' => {
                let mut all = Vec::new();
                for _ in 0..rest.parse::<usize>()? {
                    all.push(read(connection).await?);
                }
                all.into()
            }
            '-' => bail!("{rest}"),
            _ => bail!("not RESP: {line}"),
        })
    })
}
