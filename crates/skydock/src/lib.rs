//! Dock an MCP server anywhere: any `rmcp` handler on stdio, on HTTP and on AWS Lambda, guarded, bounded and drained.
//!
//! ```no_run
//! # #[derive(Default)] struct Pizza; impl rmcp::ServerHandler for Pizza {}
//! #[tokio::main]
//! async fn main() -> std::process::ExitCode {
//!     skydock::serve(Pizza::default).await
//! }
//! ```
//!
//! The words: a [`Host`] runs a handler as a [`Config`] says, which is read from [`Flags`] and the environment;
//! a [`Site`] does the same for what is no MCP server.
//! [`Auth`] says whose tokens are trusted. [`Ask`] asks the user, and [`Changes`] tells clients what has changed. [`Invocation`] is what AWS Lambda says of one. [`Error`] says why it did not start. A
//! [`Function`] is what runs in Lambda beside a server and speaks no MCP.

pub mod ask;
mod auth;
mod caller;
mod changes;
mod config;
mod error;
mod guard;
mod host;
mod hosted;
mod limits;
mod passage;
mod program;
mod runtime;
mod service;
mod sessions;
mod site;
mod telemetry;

pub use self::{
    ask::{Answer, Ask},
    auth::Auth,
    caller::{Principal, Restored},
    changes::Changes,
    config::{Config, Flags, Key, Lambda, LambdaResponse, Mode, state_file},
    error::{Error, Fault, Faults},
    host::Host,
    hosted::Listening,
    limits::Limits,
    program::{FunctionFlags, serve, serve_function, serve_with},
    runtime::lambda::{Failed, Function, Invocation},
    site::{Deadline, Site},
    telemetry::reference,
};
