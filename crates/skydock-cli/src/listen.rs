//! Where our own servers listen: on loopback, because they ask nobody who they are.

use std::{io::ErrorKind, net::SocketAddr};

use anyhow::Result;
use tokio::net::TcpListener;

use crate::usage::Usage;

/// Listens on a loopback address for `who`.
///
/// # Errors
/// [`Usage`] when the address cannot be used.
pub(crate) async fn bind(address: SocketAddr, who: &str) -> Result<TcpListener> {
    let port = address.port();
    if !address.ip().is_loopback() {
        return Err(Usage::new(format!(
            "--listen {address} is not a loopback address; {who} asks nobody who they are, so use 127.0.0.1:{port}"
        ))
        .into());
    }
    TcpListener::bind(address)
        .await
        .map_err(|error| {
            match error.kind() {
        ErrorKind::AddrInUse => Usage::new(format!(
            "{address} is in use by another program; end it, or take a free port with --listen 127.0.0.1:0"
        ))
        .into(),
        ErrorKind::PermissionDenied => Usage::new(format!(
            "{address} needs privileges; take a port above 1023, or --listen 127.0.0.1:0"
        ))
        .into(),
        _ => anyhow::Error::new(error).context(format!("cannot listen on {address}")),
    }
        })
}
