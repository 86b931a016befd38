//! Hostile input, over real sockets: whatever one client does, it gets a proper answer and the others get theirs.

mod bodies;
mod ending;
mod sessions;
mod sockets;
mod tools;
