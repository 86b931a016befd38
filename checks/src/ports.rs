//! Free ports of the loopback, from those that no connection is given by chance.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result};

/// Below are those of services that a machine may start at any time.
const FIRST: u16 = 10_000;
/// From here on the kernel chooses for who does not, where it has not been told otherwise.
const EPHEMERAL: u16 = 32_768;
/// How many ports are tried.
const TRIES: usize = 1_000;

/// A port that nobody uses. Whoever restarts a program on it gets it again: the kernel takes the ports of outgoing
/// connections from elsewhere.
///
/// # Errors
/// There is none.
pub fn free() -> Result<SocketAddr> {
    let [addr] = several()?;
    Ok(addr)
}

/// Different ports that nobody uses.
///
/// # Errors
/// There are not so many.
pub fn several<const N: usize>() -> Result<[SocketAddr; N]> {
    let last = ephemeral().unwrap_or(EPHEMERAL);
    let mut held = Vec::with_capacity(N);
    for _ in 0..TRIES {
        if held.len() == N {
            break;
        }
        // held until all are found, so that none is found twice
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, random(last))) {
            held.push(listener);
        }
    }
    let addrs: Vec<SocketAddr> = held
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    addrs.try_into().ok().context("no port is free")
}

/// The first port that the kernel gives to an outgoing connection, where it leaves room below.
fn ephemeral() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let first = range.split_whitespace().next()?.parse().ok()?;
    (first > FIRST + 1_000).then_some(first)
}

/// A port before `end`, another one in each process.
fn random(end: u16) -> u16 {
    let number = RandomState::new().build_hasher().finish();
    let below = u16::try_from(number % u64::from(end - FIRST)).unwrap_or_default();
    FIRST + below
}
