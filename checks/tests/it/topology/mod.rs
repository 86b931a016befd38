//! Several instances of one server, what stands before them, and what they share.

mod balancer;
mod clients;
mod conformance;
mod killing;
mod stores;
