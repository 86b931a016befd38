//! What it costs when a client's next message lands on an instance that has not had its session so far.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use checks::{
    connection::Connection,
    figures::{median, millis},
};
use serde_json::{Value, json};

use super::{Peer, RECEIPT, order};

/// How often each is done in one turn.
const QUESTIONS: u64 = 60;
const SESSIONS: usize = 60;
const STREAMS: u64 = 30;

/// What it has cost, each time.
#[derive(Debug, Clone, Default)]
pub(super) struct Crossing {
    /// An order whose address is asked for and answered at the instance that asks: here, and at another: there.
    asked_here: Vec<Duration>,
    asked_there: Vec<Duration>,
    /// The first call at an instance that has not heard of the session.
    first_there: Vec<Duration>,
    /// From asking for the rest of a broken stream to the event that was missed.
    resumed_here: Vec<Duration>,
    resumed_there: Vec<Duration>,
}

impl Crossing {
    /// One turn.
    pub(super) async fn measure(&mut self, peer: &Peer, shared: bool, share: u64) -> Result<()> {
        let one = peer.start().await?;
        ask(one.addr(), one.addr(), share, &mut self.asked_here).await?;
        resume(one.addr(), one.addr(), share, &mut self.resumed_here).await?;
        if shared {
            let other = peer.start().await?;
            ask(one.addr(), other.addr(), share, &mut self.asked_there).await?;
            resume(one.addr(), other.addr(), share, &mut self.resumed_there).await?;
            let (mut here, mut there) = (
                Connection::open(one.addr()).await?,
                Connection::open(other.addr()).await?,
            );
            for _ in 0..SESSIONS {
                let session = here.initialize().await?;
                let began = Instant::now();
                let answer = there.whole(&session, &order(1, Some("Street 1"))).await?;
                self.first_there.push(began.elapsed());
                ensure!(String::from_utf8_lossy(&answer).contains(RECEIPT), "no receipt");
            }
            other.stop().await?;
        }
        one.stop().await?;
        Ok(())
    }

    /// The line of a table with the head [`HEAD`].
    pub(super) fn row(&self, name: &str) -> String {
        let write = |times: &Vec<Duration>| {
            if times.is_empty() {
                "–".to_owned()
            } else {
                millis(median(times))
            }
        };
        let columns = [
            &self.asked_here,
            &self.asked_there,
            &self.first_there,
            &self.resumed_here,
            &self.resumed_there,
        ];
        format!("| {name} | {} |", columns.map(write).join(" | "))
    }
}

/// What stands above [`Crossing::row`].
pub(super) const HEAD: &str = "\
| p50 | question, answered at the same instance | at another | first call at another instance | stream resumed at the same instance | at another |
|---|---|---|---|---|---|";

/// Orders without an address at `one`, and gives the address at `other`.
async fn ask(one: SocketAddr, other: SocketAddr, share: u64, times: &mut Vec<Duration>) -> Result<()> {
    let (mut asked, mut answering) = (Connection::open(one).await?, Connection::open(other).await?);
    let session = asked.initialize().await?;
    let turns = QUESTIONS / share;
    // the first does not count: the other instance hears of the session
    for number in 0..=turns {
        let began = Instant::now();
        let mut events = asked.events(&session, &order(number + 1, None)).await?;
        let question = events.until("elicitation/create").await?;
        answering.whole(&session, &address(&question.message)).await?;
        events.until(RECEIPT).await?;
        if number > 0 {
            times.push(began.elapsed());
        }
        events.finish().await?;
    }
    Ok(())
}

/// Loses the stream of an order at `one`, and reads the rest of it at `other`.
async fn resume(one: SocketAddr, other: SocketAddr, share: u64, times: &mut Vec<Duration>) -> Result<()> {
    let (mut again, mut answering) = (Connection::open(other).await?, Connection::open(other).await?);
    let session = again.initialize().await?;
    let turns = STREAMS / share;
    for number in 0..=turns {
        let mut lost = Connection::open(one).await?;
        let mut events = lost.events(&session, &order(number + 1, None)).await?;
        let begin = events.next().await?.map(|event| event.id).unwrap_or_default();
        ensure!(!begin.is_empty(), "the stream does not say where it begins");
        events.until("elicitation/create").await?;
        drop((events, lost));
        let began = Instant::now();
        let mut rest = again.resume(&session, &begin).await?;
        let question = rest.until("elicitation/create").await?;
        if number > 0 {
            times.push(began.elapsed());
        }
        answering.whole(&session, &address(&question.message)).await?;
        rest.until(RECEIPT).await?;
        rest.finish().await?;
    }
    Ok(())
}

/// What the user says to the question.
fn address(question: &Value) -> Value {
    let result = json!({"action": "accept", "content": {"address": "Street 1"}});
    json!({"jsonrpc": "2.0", "id": question["id"], "result": result})
}
