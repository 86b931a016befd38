//! The pizza shop on AWS Lambda without Skydock: rmcp's own HTTP service in axum, behind `lambda_http`.

use std::sync::Arc;

use axum::Router;
use lambda_http::{Error, run, run_with_streaming_response, tracing};
use pizza::PizzaShop;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();

    // built once and shared, which is the best that a host can do with rmcp
    let shop = Arc::new(PizzaShop::default());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // the name in front of a function is not known here; rmcp answers only to localhost by itself
        .disable_allowed_hosts();
    let service = StreamableHttpService::new(
        move || Ok(Arc::clone(&shop)),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let app = Router::new().route_service("/mcp", service);

    if std::env::var_os("RIVAL_STREAM").is_some_and(|value| value == "1") {
        run_with_streaming_response(app).await
    } else {
        run(app).await
    }
}
