//! The store in SQLite: that it keeps the contract, and what is in a file stays there.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use skydock_agent::a2a::{
    protocol::TaskState,
    store::{Sqlite, Tasks},
};

use super::{
    contract::keeps_the_contract,
    instance::{Puppet, client, get, instance, says, send, to},
};

/// A folder of its own, which goes with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skydock-a2a-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("tasks.sqlite")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Folder) -> Arc<dyn Tasks> {
    Arc::new(Sqlite::open(&folder.file()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_contract() {
    let folder = Folder::new("contract");
    keeps_the_contract([open(&folder), open(&folder)]).await;
    let mode = std::fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let store: Arc<dyn Tasks> = Arc::new(Sqlite::in_memory().unwrap());
    keeps_the_contract([Arc::clone(&store), store]).await;
}

#[tokio::test]
async fn a_task_that_asks_goes_on_when_everything_was_stopped_and_started() {
    let folder = Folder::new("reopened");
    let puppet = Puppet::new();
    let before = instance(&open(&folder), &puppet).await;
    let asked = send(&client(&before.url, "JSONRPC", "ada").await, says("ask")).await;
    drop(before);
    let after = instance(&open(&folder), &puppet).await;
    let client = client(&after.url, "JSONRPC", "ada").await;
    assert_eq!(get(&client, &asked.id).await, asked);
    let done = send(&client, to(&asked, "hello")).await;
    assert_eq!(done.status.state, TaskState::Completed);
}
