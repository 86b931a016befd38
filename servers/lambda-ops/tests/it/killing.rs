//! The real program is killed at every step of a change, and started again: no function is left in between.
//!
//! The program reaches the embedded account over a socket. At the N-th call the account kills it, either before the
//! call has any effect or after it, before the answer. Between two calls nothing leaves the program but lines of its
//! journal, so these are all the moments that differ.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use lambda_ops::embedded::{Embedded, Operation};
use rmcp::{RoleClient, ServiceExt, service::RunningService};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::bench::{self, Consenting};

/// No procedure makes more calls than this.
const MOST_CALLS: usize = 200;

/// When the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The call never arrives.
    Before,
    /// The call has taken effect, and its answer never arrives.
    After,
}

/// The account behind a socket, and the program that is to be killed.
struct Scaffold {
    account: Embedded,
    /// At which call, counted from one; zero is never.
    at: AtomicUsize,
    moment: Moment,
    calls: AtomicUsize,
    victim: Mutex<Option<Child>>,
}

impl Scaffold {
    fn new(account: Embedded, at: usize, moment: Moment) -> Arc<Self> {
        Arc::new(Self {
            account,
            at: AtomicUsize::new(at),
            moment,
            calls: AtomicUsize::new(0),
            victim: Mutex::new(None),
        })
    }

    async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Router::new().fallback(answer).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }

    /// From now on the program dies at this call from here.
    fn arm(&self, at: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    fn kill(&self) {
        if let Some(victim) = self.victim.lock().unwrap().as_mut() {
            victim.start_kill().unwrap();
        }
    }
}

async fn answer(State(scaffold): State<Arc<Scaffold>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    let number = scaffold.calls.fetch_add(1, Ordering::SeqCst) + 1;
    let deadly = number == scaffold.at.load(Ordering::SeqCst);
    if deadly && scaffold.moment == Moment::Before {
        scaffold.kill();
        return std::future::pending().await;
    }
    let answered = scaffold.account.answer(&http::Request::from_parts(head, body));
    if deadly {
        scaffold.kill();
        return std::future::pending().await;
    }
    match answered {
        Some(answered) => answered.map(Body::from),
        None => std::future::pending().await,
    }
}
