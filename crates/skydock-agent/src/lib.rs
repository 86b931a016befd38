//! An MCP host: a model that works with the tools of many MCP servers, for a user who is asked.
//!
//! The words: an [`Agent`] leads conversations, each of one user. A [`Turn`] begins with what the user does
//! ([`Input`]) and is a stream of [`Event`]s. A [`model::Model`] says what to call; [`Approvals`] say what the user
//! decides; a [`Budget`] bounds it; a [`store::Store`] keeps what was said.

pub mod a2a;
mod agent;
mod approval;
mod aws;
mod budget;
pub mod client;
mod conversation;
mod event;
pub mod identity;
pub mod knowledge;
mod listener;
pub mod message;
pub mod model;
mod report;
mod sqlite;
pub mod store;
mod tools;
mod turn;
pub mod web;

pub use self::{
    agent::{Agent, Error, Input, Listing, Turn, View},
    approval::{Approvals, Pattern, Reason},
    budget::Budget,
    conversation::{Conversation, Decision, NotAsked, Pending, Stand, Standing},
    event::{Call, Ended, Event, Outcome, Question},
    report::Report,
    tools::{Collision, Reply, Sampling, Upstream},
};
