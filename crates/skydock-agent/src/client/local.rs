//! A server in this process: no program is started, and nothing listens where others could reach it.

use std::{fmt, sync::Arc};

use rmcp::ServerHandler;
use skydock::Host;
use tokio::io::DuplexStream;

/// How many bytes are on their way in one direction before the writer waits.
const ON_THE_WAY: usize = 64 * 1024;

/// A server in this process. Clones are the same server; each connection to it is served by a clone of its handler.
#[derive(Clone)]
pub struct Local {
    name: Arc<str>,
    serve: Arc<dyn Fn(DuplexStream) + Send + Sync>,
}

impl Local {
    /// The server that `handler` is; `name` is what people call it.
    pub fn new<H: ServerHandler + Clone>(name: impl Into<Arc<str>>, handler: H) -> Self {
        let serve = move |stream: DuplexStream| {
            let host = Host::new(handler.clone());
            tokio::spawn(async move {
                if let Err(error) = host.serve(stream).await {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, "a connection within the process ended early");
                }
            });
        };
        Self {
            name: name.into(),
            serve: Arc::new(serve),
        }
    }

    /// Opens a connection.
    pub(super) fn open(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(ON_THE_WAY);
        (self.serve)(theirs);
        ours
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&self.name).finish()
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.serve, &other.serve)
    }
}

impl Eq for Local {}
