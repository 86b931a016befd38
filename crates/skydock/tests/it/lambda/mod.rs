//! AWS Lambda: a real host, and a runtime API on loopback that stands in for Lambda's.

mod doors;
mod edges;
mod function;
mod runtime_api;
mod streaming;
