//! The browser's way back: a listener on loopback that takes the redirect (RFC 8252 §7.3).

use std::{io, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::Uri, response::Html, routing::get};
use futures::future::BoxFuture;
use reqwest::Url;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};

use super::{error::Error, user::Browser};

/// How long somebody may stay on the authorization page.
const PATIENCE: Duration = Duration::from_secs(300);

/// Shows the authorization page's URL to the person, and takes the redirect on a loopback port.
pub struct Loopback {
    redirect_uri: String,
    show: Box<dyn Fn(&Url) + Send + Sync>,
    arrivals: Mutex<mpsc::Receiver<Url>>,
    server: tokio::task::JoinHandle<io::Result<()>>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loopback")
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}

impl Loopback {
    /// Binds a free port; `show` is called with each page to open.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn bind(show: impl Fn(&Url) + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
        let (sender, arrivals) = mpsc::channel(8);
        let base: Arc<str> = redirect_uri.as_str().into();
        let app = Router::new()
            .route("/callback", get(arrive))
            .with_state((base, sender));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            redirect_uri,
            show: Box::new(show),
            arrivals: Mutex::new(arrivals),
            server,
        })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn arrive(State((base, sender)): State<(Arc<str>, mpsc::Sender<Url>)>, uri: Uri) -> Html<&'static str> {
    if let Ok(mut url) = Url::parse(&base) {
        url.set_query(uri.query());
        // a full queue means that nobody waits for so many answers
        let _ = sender.try_send(url);
    }
    Html("<!doctype html><title>Skydock</title><p>You can close this page and go back to the terminal.</p>")
}

impl Browser for Loopback {
    fn redirect_uri(&self) -> String {
        self.redirect_uri.clone()
    }

    fn visit<'a>(&'a self, page: &'a Url) -> BoxFuture<'a, Result<Url, Error>> {
        Box::pin(async move {
            (self.show)(page);
            let state = query(page, "state");
            let mut arrivals = self.arrivals.lock().await;
            let ours = async {
                loop {
                    // an answer to another question (or a forged one) does not end this one
                    let url = arrivals.recv().await?;
                    if query(&url, "state") == state {
                        return Some(url);
                    }
                }
            };
            tokio::time::timeout(PATIENCE, ours)
                .await
                .ok()
                .flatten()
                .ok_or(Error::LoginAbandoned { patience: PATIENCE })
        })
    }
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
