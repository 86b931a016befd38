//! The pizza shop with sessions and without Skydock: rmcp's own HTTP service and its own sessions, in axum.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get, serve::ListenerExt as _};
use pizza::PizzaShop;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::net::TcpListener;

/// Its one argument is the address to listen on.
#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    // built once and shared, which is the best that a host can do with rmcp
    let shop = Arc::new(PizzaShop::default());
    let mut manager = LocalSessionManager::default();
    // Skydock's default; rmcp's own is five minutes
    manager.session_config.keep_alive = Some(Duration::from_secs(30 * 60));
    let service = StreamableHttpService::new(
        move || Ok(Arc::clone(&shop)),
        Arc::new(manager),
        StreamableHttpServerConfig::default(),
    );
    let app = Router::new()
        .route_service("/mcp", service)
        .route("/readyz", get(|| async { "ready" }));
    // an answer is written in pieces; without it each would wait for the acknowledgement of the one before
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}
