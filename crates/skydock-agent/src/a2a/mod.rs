//! Agent2Agent (A2A) 1.0: an agent that others can ask over HTTP, and others that this one can ask.
//!
//! The words: a [`Service`] answers callers. What a caller wants is a task; an [`Executor`] does it, and [`Assistant`]
//! is the one that has an [`Agent`](crate::Agent) do it. Tasks are in a [`store`], with a log of everything that happened,
//! so that any instance can go on with them, cancel them and show them. A [`push::Push`] tells webhooks. A [`Peers`] is an
//! MCP server whose tools are other agents.
//!
//! Types, routers and clients are those of the official crates (`a2a-lf`, `a2a-server-lf`, `a2a-client-lf`); what these
//! leave open, the service closes: versions on both bindings, empty messages, tasks that belong to their callers,
//! subscriptions from any instance, webhooks that are tried again. See `docs/guide/a2a.md`.

mod assistant;
mod bell;
mod card;
mod executor;
mod follow;
mod handler;
mod inquiry;
mod peers;
pub mod push;
mod refusal;
mod router;
mod service;
mod sink;
pub mod store;
mod worker;

pub use ::a2a as protocol;

pub use self::{
    assistant::Assistant,
    card::card,
    executor::{End, Executor, Job},
    peers::{Peer, Peers},
    router::{operations, published, router},
    service::{Dispatch, Limits, Service},
    sink::{Lost, Sink},
    worker::{Error, Ran},
};
