//! What holds of every store of conversations. `checks` includes this file, for the stores that need a server.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::future::join_all;
use skydock_agent::store::{Draft, Failure, Key, Store};

/// How many write at once.
const WRITERS: usize = 20;

/// Goes through all of it, with two that share what is in them, as two processes would.
pub(crate) async fn keeps_the_contract([one, other]: [Arc<dyn Store>; 2]) {
    what_is_written_is_read_by_another(&*one, &*other).await;
    nobody_writes_over_what_he_has_not_read(&*one, &*other).await;
    of_many_writers_one_wins(&one, &other).await;
    users_do_not_meet(&*one).await;
    names_may_be_odd(&*one, &*other).await;
    the_one_written_last_is_listed_first(&*one).await;
}

fn draft<'a>(replaces: Option<&'a str>, title: &'a str, body: &'a [u8]) -> Draft<'a> {
    Draft {
        replaces,
        title,
        body,
    }
}

async fn what_is_written_is_read_by_another(one: &dyn Store, other: &dyn Store) {
    let key = Key::new("ada", "read");
    assert!(one.load(&key).await.unwrap().is_none());
    let long: Vec<u8> = b"{\"a long one\": 1}".repeat(20_000);
    for body in [b"{}".as_slice(), &long, &[0, 255, 10], &[]] {
        let before = one.load(&key).await.unwrap().map(|stored| stored.version);
        let version = one
            .save(&key, draft(before.as_deref(), "Trip", body))
            .await
            .unwrap();
        let stored = other.load(&key).await.unwrap().unwrap();
        assert_eq!((stored.version, stored.body), (version, body.to_vec()));
    }
    one.remove(&key).await.unwrap();
    assert!(other.load(&key).await.unwrap().is_none());
    one.remove(&key).await.unwrap();
}

async fn nobody_writes_over_what_he_has_not_read(one: &dyn Store, other: &dyn Store) {
    let key = Key::new("ada", "conflict");
    let conflict = |saved: Result<String, Failure>| matches!(saved, Err(Failure::Conflict));
    let first = one.save(&key, draft(None, "", b"1")).await.unwrap();
    assert!(conflict(other.save(&key, draft(None, "", b"2")).await));
    // the same words again are another version
    let second = other.save(&key, draft(Some(&first), "", b"1")).await.unwrap();
    assert_ne!(first, second);
    assert!(conflict(one.save(&key, draft(Some(&first), "", b"3")).await));
    assert!(conflict(
        one.save(&key, draft(Some("no version"), "", b"3")).await
    ));
    assert_eq!(one.load(&key).await.unwrap().unwrap().version, second);
    one.remove(&key).await.unwrap();
    assert!(
        conflict(other.save(&key, draft(Some(&second), "", b"3")).await),
        "it is gone"
    );
}

async fn of_many_writers_one_wins(one: &Arc<dyn Store>, other: &Arc<dyn Store>) {
    let key = Key::new("ada", "race");
    let mut version = None;
    for _ in 0..3 {
        let writers = (0..WRITERS).map(|writer| {
            let store = Arc::clone(if writer % 2 == 0 { one } else { other });
            let (key, version) = (key.clone(), version.clone());
            tokio::spawn(async move {
                // what they write may well be the same
                let body = [b'0' + u8::try_from(writer / 10).unwrap()];
                store.save(&key, draft(version.as_deref(), "", &body)).await
            })
        });
        let mut won = Vec::new();
        for written in join_all(writers).await {
            match written.unwrap() {
                Ok(version) => won.push(version),
                Err(Failure::Conflict) => {}
                Err(failure) => panic!("{}", skydock_agent::client::tell(&failure)),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        version = won.pop();
        assert_eq!(
            one.load(&key).await.unwrap().map(|stored| stored.version),
            version
        );
    }
}

async fn users_do_not_meet(store: &dyn Store) {
    let (ada, eve) = (Key::new("ada2", "trip"), Key::new("eve2", "trip"));
    let version = store.save(&ada, draft(None, "Ada's", b"ada")).await.unwrap();
    assert!(store.load(&eve).await.unwrap().is_none());
    assert!(store.list("eve2", 10).await.unwrap().is_empty());
    let stolen = store.save(&eve, draft(Some(&version), "", b"eve")).await;
    assert!(matches!(stolen, Err(Failure::Conflict)), "{stolen:?}");
    store.save(&eve, draft(None, "Eve's", b"eve")).await.unwrap();
    store.remove(&eve).await.unwrap();
    assert_eq!(store.load(&ada).await.unwrap().unwrap().body, b"ada");
    let listed = store.list("ada2", 10).await.unwrap();
    let named: Vec<_> = listed
        .iter()
        .map(|entry| (entry.session.as_str(), entry.title.as_str()))
        .collect();
    assert_eq!(named, [("trip", "Ada's")]);
}

async fn names_may_be_odd(one: &dyn Store, other: &dyn Store) {
    let long = "long/ü".repeat(80);
    let longer = format!("{long}!");
    let names = [
        "a",
        "a/b",
        "../x",
        ".",
        "a%2Fb",
        "Grüße 🦀",
        "=a",
        "#a",
        "~a",
        "token https://i.example ada",
        "a\u{0}b",
        &long,
        &longer,
    ];
    // `ada/trip` of one and `trip` of `ada` are two conversations
    for user in names {
        for session in names {
            let body = format!("{user}\n{session}");
            one.save(
                &Key::new(user, session),
                draft(None, "Ümläut / 🦀", body.as_bytes()),
            )
            .await
            .unwrap_or_else(|failure| panic!("{user} {session}: {}", skydock_agent::client::tell(&failure)));
        }
    }
    for user in names {
        for session in names {
            let stored = other.load(&Key::new(user, session)).await.unwrap().unwrap();
            assert_eq!(stored.body, format!("{user}\n{session}").as_bytes());
        }
    }
    let listed = one.list(&longer, 100).await.unwrap();
    let found: HashSet<_> = listed.iter().map(|entry| entry.session.as_str()).collect();
    let wanted: HashSet<_> = names.into_iter().collect();
    assert_eq!(found, wanted);
    assert!(
        listed.iter().all(|entry| entry.title == "Ümläut / 🦀"),
        "{listed:?}"
    );
}

async fn the_one_written_last_is_listed_first(store: &dyn Store) {
    let user = "lister";
    let names = ["first", "second", "third"];
    let mut versions = Vec::new();
    for name in names {
        versions.push(
            store
                .save(&Key::new(user, name), draft(None, name, b"1"))
                .await
                .unwrap(),
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let order = async |most: usize| -> Vec<String> {
        let listed = store.list(user, most).await.unwrap();
        listed.into_iter().map(|entry| entry.session).collect()
    };
    assert_eq!(order(10).await, ["third", "second", "first"]);
    assert_eq!(order(2).await, ["third", "second"]);
    assert!(order(0).await.is_empty());
    store
        .save(&Key::new(user, "first"), draft(Some(&versions[0]), "again", b"2"))
        .await
        .unwrap();
    assert_eq!(order(10).await, ["first", "third", "second"]);
    let listed = store.list(user, 1).await.unwrap();
    assert_eq!(listed[0].title, "again");
    let age = jiff::Timestamp::now().duration_since(listed[0].written);
    assert!(age.as_secs().abs() < 60, "{listed:?}");
}
