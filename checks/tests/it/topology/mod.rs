//! Several instances of one server, what stands before them, and what they share.

mod balancer;
mod stores;
