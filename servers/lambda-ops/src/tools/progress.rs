//! What a change tells on its way, passed on to the client.

use rmcp::{RoleServer, model::ProgressNotificationParam, service::RequestContext};
use tokio::sync::mpsc::UnboundedReceiver;

/// Sends progress to the client until the procedure has nothing more to tell.
pub(super) async fn forward(mut told: UnboundedReceiver<String>, context: &RequestContext<RoleServer>) {
    let token = context.meta.get_progress_token();
    let mut count = 0.0;
    while let Some(message) = told.recv().await {
        let Some(token) = &token else { continue };
        count += 1.0;
        let progress = ProgressNotificationParam::new(token.clone(), count).with_message(message);
        if let Err(error) = context.peer.notify_progress(progress).await {
            tracing::debug!(%error, "the client takes no progress");
        }
    }
}
