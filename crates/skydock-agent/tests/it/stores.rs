//! Conversations in SQLite. Those in AWS are tested in `checks`, which can start what they need.

use std::sync::Arc;

use skydock_agent::store::{Sqlite, Store};

use crate::{contract::keeps_the_contract, folder::Folder};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_sqlite_keeps_the_contract() {
    let folder = Folder::new();
    let file = folder.path().join("below/agent.sqlite");
    let open = || Arc::new(Sqlite::open(&file).unwrap()) as Arc<dyn Store>;
    keeps_the_contract([open(), open()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let store = Sqlite::in_memory().unwrap();
    keeps_the_contract([Arc::new(store.clone()), Arc::new(store)]).await;
}
