//! What every store must do: one list of tests, run against each backend.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    future::{self, BoxFuture, join_all},
    stream,
};
use tokio::time::{Instant, sleep};

use super::{Entry, Failure, Patience, Place, Store, Written};

type Test = fn(Arc<dyn Store>) -> BoxFuture<'static, ()>;

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        const CONTRACT: &[(&str, Test)] = &[$((stringify!($test), |store| Box::pin($test(store)))),*];
    };
}

contract![
    the_roll_has_who_is_alive,
    a_record_is_read_as_it_was_written,
    a_write_names_the_version_it_replaces,
    one_of_many_creators_wins,
    no_update_is_lost,
    what_has_expired_does_not_come_back,
    what_has_expired_can_be_created_anew,
    touch_extends_and_keeps_the_version,
    touch_does_not_create,
    an_expiry_is_never_early,
    a_log_keeps_its_order,
    an_append_of_many_stays_together,
    an_append_of_very_many_keeps_its_order,
    a_follower_sees_each_entry_once_and_in_order,
    a_follower_is_woken,
    a_follower_gives_up_in_time,
    a_follower_without_patience_looks_once,
    a_trimmed_log_goes_on,
    a_long_log_is_read_in_parts,
    a_log_that_begins_anew_has_higher_numbers,
    a_log_lives_as_long_as_its_latest_entry,
    logs_and_records_do_not_meet,
    a_value_may_be_as_large_as_the_limit,
    values_are_bytes,
    keys_may_have_every_documented_letter,
    many_follow_at_once,
];

/// How many tests run at once: no more than leave a slow store the time to be quicker than [`SHORT`].
const AT_ONCE: usize = 8;
/// Lives longer than any test.
const LONG: Duration = Duration::from_secs(60);
/// An expiry that a test waits for.
const SHORT: Duration = Duration::from_millis(800);
/// What was given [`SHORT`] has expired by then.
const PAST: Duration = Duration::from_millis(850);
const PATIENT: Patience = Patience {
    whole: Duration::from_secs(10),
    pause: Duration::from_millis(100),
};

/// Runs the whole list, some at once, since none has to do with another, and says which failed.
async fn keeps_the_contract(store: Arc<dyn Store>) {
    let runs = CONTRACT.iter().map(|(name, test)| {
        let store = Arc::clone(&store);
        async move {
            tokio::spawn(test(store))
                .await
                .err()
                .map(|error| format!("{name}: {}", reason(error)))
        }
    });
    let failed = stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .filter_map(future::ready);
    let failed: Vec<_> = failed.collect().await;
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        CONTRACT.len(),
        failed.join("\n")
    );
}

fn reason(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

async fn at(place: &str) -> Arc<dyn Store> {
    place.parse::<Place>().unwrap().store(usize::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    keeps_the_contract(at("memory").await).await;
}

#[cfg(feature = "valkey")]
mod valkey {
    use super::{
        super::standin,
        outage::{answers, is_unavailable, loses_no_write},
        *,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn one_server_keeps_the_contract() {
        let server = standin::valkey::server(&[]);
        keeps_the_contract(at(&format!("valkey://127.0.0.1:{}", server.port)).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_keeps_the_contract() {
        let nodes = standin::valkey::cluster();
        keeps_the_contract(at(&format!("valkey://127.0.0.1:{}/?cluster=true", nodes[1].port)).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_has_expired_is_thrown_out_of_a_log_that_goes_on() {
        let server = standin::valkey::server(&[]);
        let store = at(&format!("valkey://127.0.0.1:{}", server.port)).await;
        for _ in 0..3 {
            store
                .append("old", vec![bytes("a"), bytes("b")], SHORT)
                .await
                .unwrap();
        }
        let kept = store.append("old", vec![bytes("c")], LONG).await.unwrap();
        sleep(PAST).await;
        store.append("old", vec![bytes("d")], SHORT).await.unwrap();
        let left = store.follow("old", 0, Patience::NONE).await.unwrap();
        assert_eq!(values(&left), [bytes("c"), bytes("d")]);
        assert_eq!(left[0].number, kept);
        sleep(PAST).await;
        store.append("old", vec![bytes("e")], SHORT).await.unwrap();
        let left = store.follow("old", 0, Patience::NONE).await.unwrap();
        // what was promised for longer is not thrown out, nor what comes after it
        assert_eq!(values(&left), [bytes("c"), bytes("d"), bytes("e")]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_follower_need_not_look_to_be_woken() {
        let (server, nodes) = (standin::valkey::server(&[]), standin::valkey::cluster());
        let rarely = Patience {
            pause: Duration::from_secs(20),
            whole: Duration::from_secs(20),
        };
        for url in [
            format!("valkey://127.0.0.1:{}", server.port),
            format!("valkey://127.0.0.1:{}/?cluster=true", nodes[0].port),
        ] {
            let (here, there) = (at(&url).await, at(&url).await);
            let waiting = async { (here.follow("woken", 0, rarely).await.unwrap(), Instant::now()) };
            let append = async {
                // between its looks at 1.26 s and 2.54 s
                sleep(Duration::from_millis(1_400)).await;
                there.append("woken", vec![bytes("up")], LONG).await.unwrap();
                Instant::now()
            };
            let ((entries, woken), appended) = tokio::join!(waiting, append);
            assert_eq!(values(&entries), [bytes("up")]);
            assert!(
                woken < appended + Duration::from_millis(500),
                "{:?}",
                woken - appended
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_server_may_go_and_come_back() {
        let mut server = standin::valkey::server(&[]);
        let store = at(&format!("valkey://127.0.0.1:{}", server.port)).await;
        answers(&*store).await;
        server.kill();
        is_unavailable(&*store, Duration::from_secs(3)).await;
        server.restart();
        answers(&*store).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_server_may_fall_silent() {
        let server = standin::valkey::server(&[]);
        let store = at(&format!("valkey://127.0.0.1:{}", server.port)).await;
        answers(&*store).await;
        server.signal("STOP");
        is_unavailable(&*store, Duration::from_secs(3)).await;
        server.signal("CONT");
        answers(&*store).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_of_a_server_may_get_lost() {
        let server = standin::valkey::server(&[]);
        let wire = standin::Wire::to(&server).await;
        loses_no_write(&*at(&format!("valkey://127.0.0.1:{}", wire.port)).await, &wire).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_without_one_server_does_the_rest() {
        let mut nodes = standin::valkey::cluster();
        let store = at(&format!("valkey://127.0.0.1:{}/?cluster=true", nodes[1].port)).await;
        answers(&*store).await;
        nodes[2].kill();
        let key = |number| format!("rest-{number}");
        let write = async |number: u32| store.write(&key(number), bytes("x"), None, LONG).await;
        for _ in 0..3 {
            let written = join_all((0..60).map(write));
            let written = tokio::time::timeout(Duration::from_secs(1), written)
                .await
                .unwrap();
            let done = written.iter().filter(|written| written.is_ok()).count();
            assert!((20..60).contains(&done), "{done}: {written:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_may_give_a_lost_server_s_keys_to_another() {
        let mut nodes = standin::valkey::cluster();
        let store = at(&format!("valkey://127.0.0.1:{}/?cluster=true", nodes[1].port)).await;
        let key = |number: u32| format!("failover-{number}");
        let write = async |number: u32| store.write(&key(number), bytes("x"), None, LONG).await;
        for written in join_all((0..30).map(write)).await {
            assert_eq!(written.unwrap(), Written::Done(1));
        }
        let _replica = standin::valkey::replica(&nodes, 2);
        nodes[2].kill();
        let until = Instant::now() + Duration::from_secs(20);
        while join_all((0..30).map(async |number| store.read(&key(number)).await))
            .await
            .iter()
            .any(Result::is_err)
        {
            assert!(Instant::now() < until, "the replica does not take over");
            sleep(Duration::from_millis(50)).await;
        }
        for number in 0..30 {
            assert_eq!(store.read(&key(number)).await.unwrap().unwrap().version, 1);
        }
        answers(&*store).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_may_move_keys_at_any_time() {
        let nodes = standin::valkey::cluster();
        let store = at(&format!("valkey://127.0.0.1:{}/?cluster=true", nodes[1].port)).await;
        let write = |replaces| store.write("moving", bytes("x"), replaces, LONG);
        answers(&*store).await;
        let moving = standin::valkey::Moving::begin(&nodes, "skydock:record:moving");
        // new ones come into being where the keys are moved to
        assert_eq!(write(None).await.unwrap(), Written::Done(1));
        assert_eq!(write(Some(1)).await.unwrap(), Written::Done(2));
        moving.end();
        assert_eq!(store.read("moving").await.unwrap().unwrap().version, 2);
        assert_eq!(write(Some(2)).await.unwrap(), Written::Done(3));
    }

    #[tokio::test]
    async fn a_cluster_that_is_not_called_one_says_so() {
        let nodes = standin::valkey::cluster();
        let store = at(&format!("valkey://127.0.0.1:{}", nodes[0].port)).await;
        let told = join_all(["a", "b", "c", "d", "e", "f"].map(|key| store.read(key))).await;
        assert!(format!("{told:?}").contains("add ?cluster=true"), "{told:?}");
    }

    #[tokio::test]
    async fn a_password_is_used_and_not_told() {
        // may not publish, so followers have to find out by themselves
        let user = [
            "--user",
            "me",
            "on",
            ">open-sesame",
            "~skydock:*",
            "resetchannels",
            "+@all",
        ];
        let server = standin::valkey::server(&user);
        let at = async |user: &str| at(&format!("valkey://{user}@127.0.0.1:{}", server.port)).await;
        answers(&*at("me:open%2Dsesame").await).await;
        for user in ["me:open-barley", "you:open-barley", ":open-barley"] {
            let failure = at(user).await.read("x").await.unwrap_err();
            let told = format!("{failure} {failure:?}");
            assert!(
                matches!(failure, Failure::Unavailable(_)) && !told.contains("barley"),
                "{told}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_may_go_and_come_back() {
        let mut nodes = standin::valkey::cluster();
        let store = at(&format!("valkey://127.0.0.1:{}/?cluster=true", nodes[1].port)).await;
        answers(&*store).await;
        nodes.iter_mut().for_each(standin::Server::kill);
        is_unavailable(&*store, Duration::from_secs(3)).await;
        nodes.iter_mut().for_each(standin::Server::restart);
        standin::valkey::until_whole(&nodes);
        answers(&*store).await;
    }
}

#[cfg(feature = "dynamodb")]
mod dynamodb {
    use super::{
        super::{dynamodb::DynamoDb, standin},
        outage::{answers, is_unavailable, loses_no_write},
        *,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_keeps_the_contract() {
        let server = standin::dynamodb::server();
        let wire = standin::Wire::to(&server).await;
        let store = DynamoDb::on_loopback(wire.port).await;
        store.create_table().await;
        // a Java machine is slow at first, so this comes before what has to be quick
        loses_no_write(&store, &wire).await;
        keeps_the_contract(Arc::new(DynamoDb::on_loopback(server.port).await)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_may_fall_silent_and_go_and_come_back() {
        let mut server = standin::dynamodb::server();
        let store = DynamoDb::on_loopback(server.port).await;
        is_unavailable(&store, Duration::from_secs(6)).await;
        store.create_table().await;
        answers(&store).await;
        server.signal("STOP");
        is_unavailable(&store, Duration::from_secs(6)).await;
        server.signal("CONT");
        answers(&store).await;
        server.kill();
        is_unavailable(&store, Duration::from_secs(6)).await;
        server.restart();
        store.create_table().await;
        answers(&store).await;
    }
}

#[cfg(any(feature = "dynamodb", feature = "valkey"))]
mod outage {
    use tokio::time::timeout;

    use super::{super::standin::Wire, *};

    pub(super) async fn answers(store: &dyn Store) {
        store.append("outage", vec![bytes("x")], LONG).await.unwrap();
        assert!(
            !store
                .follow("outage", 0, Patience::NONE)
                .await
                .unwrap()
                .is_empty()
        );
        store
            .write(
                &format!("outage-{}", rand::random::<u64>()),
                bytes("x"),
                None,
                LONG,
            )
            .await
            .unwrap();
        store.announce("outage", LONG).await.unwrap();
    }

    /// A write that was done counts as done, and is done once, when its answer did not come.
    pub(super) async fn loses_no_write(store: &dyn Store, wire: &Wire) {
        answers(store).await;
        wire.lose_an_answer();
        let write = |replaces| store.write("lost", bytes("x"), replaces, LONG);
        assert_eq!(write(None).await.unwrap(), Written::Done(1));
        assert!(wire.has_lost_it());
        wire.lose_an_answer();
        assert_eq!(write(Some(1)).await.unwrap(), Written::Done(2));
        for replaced in [None, Some(1)] {
            assert_eq!(write(replaced).await.unwrap(), Written::Conflict);
        }
        // the first of a log, the next, and several
        for (entries, count) in [(vec!["a"], 1), (vec!["b"], 2), (vec!["c", "d", "e"], 5)] {
            wire.lose_an_answer();
            let last = store
                .append("lost", entries.into_iter().map(bytes).collect(), LONG)
                .await
                .unwrap();
            assert!(wire.has_lost_it());
            let found = store.follow("lost", 0, Patience::NONE).await.unwrap();
            assert_eq!(found.last().map(|entry| entry.number), Some(last));
            assert_eq!(values(&found), ["a", "b", "c", "d", "e"].map(bytes)[..count]);
        }
    }

    /// Everything says so, and in time.
    pub(super) async fn is_unavailable(store: &dyn Store, within: Duration) {
        let failed = async {
            tokio::join!(
                async { store.read("outage").await.err() },
                async { store.write("outage", bytes("x"), None, LONG).await.err() },
                async { store.touch("outage", LONG).await.err() },
                async { store.append("outage", vec![bytes("x")], LONG).await.err() },
                async { store.follow("outage", 0, PATIENT).await.err() },
                async { store.announce("outage", LONG).await.err() },
                async { store.roll().await.err() },
            )
        };
        let failed: [_; 7] = timeout(within, failed).await.expect("no answer in time").into();
        for failure in failed {
            assert!(matches!(failure, Some(Failure::Unavailable(_))), "{failure:?}");
        }
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn values(entries: &[Entry]) -> Vec<Bytes> {
    entries.iter().map(|entry| entry.value.clone()).collect()
}

/// Follows until there are `count` entries.
async fn follow(store: &dyn Store, log: &str, mut after: u64, count: usize) -> Vec<Entry> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let entries = store.follow(log, after, PATIENT).await.unwrap();
        assert!(!entries.is_empty(), "{} of {count} entries came", seen.len());
        after = entries[entries.len() - 1].number;
        seen.extend(entries);
    }
    assert!(
        seen.is_sorted_by(|one, next| one.number < next.number),
        "{seen:?}"
    );
    seen
}

async fn a_record_is_read_as_it_was_written(store: Arc<dyn Store>) {
    assert_eq!(store.read("read").await.unwrap(), None);
    assert_eq!(
        store.write("read", bytes("one"), None, LONG).await.unwrap(),
        Written::Done(1)
    );
    let record = store.read("read").await.unwrap().unwrap();
    assert_eq!((record.version, record.value), (1, bytes("one")));
    assert_eq!(
        store.write("read", bytes("two"), Some(1), LONG).await.unwrap(),
        Written::Done(2)
    );
    let record = store.read("read").await.unwrap().unwrap();
    assert_eq!((record.version, record.value), (2, bytes("two")));
}

async fn a_write_names_the_version_it_replaces(store: Arc<dyn Store>) {
    let write = |replaces| store.write("conflict", bytes("x"), replaces, LONG);
    assert_eq!(write(Some(1)).await.unwrap(), Written::Conflict);
    assert_eq!(store.read("conflict").await.unwrap(), None);
    assert_eq!(write(None).await.unwrap(), Written::Done(1));
    assert_eq!(write(None).await.unwrap(), Written::Conflict);
    assert_eq!(write(Some(2)).await.unwrap(), Written::Conflict);
    assert_eq!(write(Some(1)).await.unwrap(), Written::Done(2));
    assert_eq!(write(Some(1)).await.unwrap(), Written::Conflict);
    assert_eq!(store.read("conflict").await.unwrap().unwrap().version, 2);
}

async fn one_of_many_creators_wins(store: Arc<dyn Store>) {
    let creators = (0..20).map(|_| store.write("created", bytes("same"), None, LONG));
    let written = join_all(creators).await.into_iter().map(Result::unwrap);
    assert_eq!(written.filter(|written| *written == Written::Done(1)).count(), 1);
}

async fn no_update_is_lost(store: Arc<dyn Store>) {
    let add = |_| async {
        for _ in 0..5 {
            loop {
                let found = store.read("counter").await.unwrap();
                let (count, version) =
                    found.map_or((0, None), |record| (record.value[0], Some(record.version)));
                let next = Bytes::from(vec![count + 1]);
                if let Written::Done(_) = store.write("counter", next, version, LONG).await.unwrap() {
                    break;
                }
            }
        }
    };
    join_all((0..8).map(add)).await;
    let record = store.read("counter").await.unwrap().unwrap();
    assert_eq!((record.value[0], record.version), (40, 40));
}

async fn what_has_expired_does_not_come_back(store: Arc<dyn Store>) {
    store.write("expired", bytes("x"), None, SHORT).await.unwrap();
    sleep(PAST).await;
    assert_eq!(store.read("expired").await.unwrap(), None);
    assert_eq!(store.touch("expired", LONG).await.unwrap(), None);
    assert_eq!(
        store.write("expired", bytes("y"), Some(1), LONG).await.unwrap(),
        Written::Conflict
    );
    assert_eq!(store.read("expired").await.unwrap(), None);
}

async fn what_has_expired_can_be_created_anew(store: Arc<dyn Store>) {
    store.write("anew", bytes("x"), None, SHORT).await.unwrap();
    sleep(PAST).await;
    assert_eq!(
        store.write("anew", bytes("y"), None, LONG).await.unwrap(),
        Written::Done(1)
    );
    assert_eq!(store.read("anew").await.unwrap().unwrap().value, bytes("y"));
}

async fn touch_extends_and_keeps_the_version(store: Arc<dyn Store>) {
    store.write("touched", bytes("x"), None, SHORT).await.unwrap();
    let touched = store.touch("touched", LONG).await.unwrap().unwrap();
    assert_eq!((touched.version, &touched.value), (1, &bytes("x")));
    sleep(PAST).await;
    assert_eq!(store.read("touched").await.unwrap(), Some(touched));
    assert_eq!(
        store.write("touched", bytes("y"), Some(1), LONG).await.unwrap(),
        Written::Done(2)
    );
    assert_eq!(store.touch("touched", LONG).await.unwrap().unwrap().version, 2);
}

async fn touch_does_not_create(store: Arc<dyn Store>) {
    assert_eq!(store.touch("untouched", LONG).await.unwrap(), None);
    assert_eq!(store.read("untouched").await.unwrap(), None);
}

async fn an_expiry_is_never_early(store: Arc<dyn Store>) {
    let look = async |turn: u64| {
        let key = format!("early-{turn}");
        sleep(Duration::from_millis(turn * 7)).await;
        let written = Instant::now();
        store.write(&key, bytes("x"), None, SHORT).await.unwrap();
        while store.read(&key).await.unwrap().is_some() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(written.elapsed() >= SHORT, "record {:?}", written.elapsed());
        let announced = Instant::now();
        store.announce(&key, SHORT).await.unwrap();
        while store.roll().await.unwrap().contains(&key) {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(announced.elapsed() >= SHORT, "roll {:?}", announced.elapsed());
    };
    join_all((0..4).map(look)).await;
}

async fn a_log_keeps_its_order(store: Arc<dyn Store>) {
    assert_eq!(store.follow("ordered", 0, Patience::NONE).await.unwrap(), []);
    let mut numbers = Vec::new();
    for text in ["a", "b", "c"] {
        numbers.push(store.append("ordered", vec![bytes(text)], LONG).await.unwrap());
    }
    let entries = follow(&*store, "ordered", 0, 3).await;
    assert_eq!(values(&entries), ["a", "b", "c"].map(bytes));
    assert_eq!(
        entries.iter().map(|entry| entry.number).collect::<Vec<_>>(),
        numbers
    );
    let rest = store.follow("ordered", numbers[0], Patience::NONE).await.unwrap();
    assert_eq!(rest, entries[1..]);
    assert_eq!(
        store.follow("ordered", numbers[2], Patience::NONE).await.unwrap(),
        []
    );
}

async fn an_append_of_many_stays_together(store: Arc<dyn Store>) {
    let batch = |writer: u8| {
        let entries = (0..5).map(|entry| Bytes::from(vec![writer, entry])).collect();
        store.append("together", entries, LONG)
    };
    let lasts = join_all((0..6).map(batch)).await;
    let entries = follow(&*store, "together", 0, 30).await;
    for (batch, entries) in entries.chunks(5).enumerate() {
        let writer = entries[0].value[0];
        let wanted: Vec<_> = (0..5).map(|entry| Bytes::from(vec![writer, entry])).collect();
        assert_eq!(values(entries), wanted, "batch {batch}");
        assert_eq!(*lasts[usize::from(writer)].as_ref().unwrap(), entries[4].number);
    }
}

async fn an_append_of_very_many_keeps_its_order(store: Arc<dyn Store>) {
    let batch: Vec<_> = (0..250).map(|entry| bytes(&entry.to_string())).collect();
    let last = store.append("very-many", batch.clone(), LONG).await.unwrap();
    let entries = follow(&*store, "very-many", 0, 250).await;
    assert_eq!(values(&entries), batch);
    assert_eq!(entries[249].number, last);
}

async fn a_follower_sees_each_entry_once_and_in_order(store: Arc<dyn Store>) {
    let append = |writer: u8| {
        let store = Arc::clone(&store);
        async move {
            for entry in 0..15 {
                store
                    .append("followed", vec![Bytes::from(vec![writer, entry])], LONG)
                    .await
                    .unwrap();
            }
        }
    };
    let (entries, _) = tokio::join!(follow(&*store, "followed", 0, 60), join_all((0..4).map(append)));
    let distinct: BTreeSet<_> = values(&entries).into_iter().collect();
    assert_eq!(distinct.len(), 60);
    for writer in 0..4 {
        let own = entries.iter().filter(|entry| entry.value[0] == writer);
        assert!(
            own.map(|entry| entry.value[1]).eq(0..15),
            "of {writer}: {entries:?}"
        );
    }
}

async fn a_follower_is_woken(store: Arc<dyn Store>) {
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { (store.follow("woken", 0, PATIENT).await.unwrap(), Instant::now()) }
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    store.append("woken", vec![bytes("up")], LONG).await.unwrap();
    let appended = Instant::now();
    let (entries, woken) = waiting.await.unwrap();
    assert_eq!(values(&entries), [bytes("up")]);
    assert!(
        woken < appended + Duration::from_secs(1),
        "{:?}",
        woken - appended
    );
}

async fn a_follower_gives_up_in_time(store: Arc<dyn Store>) {
    let patience = Patience {
        whole: Duration::from_millis(300),
        pause: Duration::from_millis(50),
    };
    let begun = Instant::now();
    assert_eq!(store.follow("silent", 0, patience).await.unwrap(), []);
    let waited = begun.elapsed();
    assert!(
        waited >= patience.whole && waited < patience.whole + patience.pause + Duration::from_secs(1),
        "{waited:?}"
    );
}

async fn a_follower_without_patience_looks_once(store: Arc<dyn Store>) {
    store.append("once", vec![bytes("x")], LONG).await.unwrap();
    assert_eq!(store.follow("once", 0, Patience::NONE).await.unwrap().len(), 1);
    assert_eq!(store.follow("never", 0, Patience::NONE).await.unwrap(), []);
}

async fn a_trimmed_log_goes_on(store: Arc<dyn Store>) {
    let log = "trimmed";
    let entries = ["a", "b", "c"].map(bytes).to_vec();
    let last = store.append(log, entries, LONG).await.unwrap();
    let entries = follow(&*store, log, 0, 3).await;
    store.trim(log, entries[1].number).await.unwrap();
    assert_eq!(
        store.follow(log, entries[1].number, PATIENT).await.unwrap(),
        entries[2..]
    );
    store.trim(log, last).await.unwrap();
    assert_eq!(store.follow(log, last, Patience::NONE).await.unwrap(), []);
    let next = store.append(log, vec![bytes("d")], LONG).await.unwrap();
    assert!(next > last);
    assert_eq!(
        values(&store.follow(log, last, PATIENT).await.unwrap()),
        [bytes("d")]
    );
    // an old number: what is left comes, and nothing twice
    let entries = store.follow(log, 1, PATIENT).await.unwrap();
    assert_eq!(entries.last().map(|entry| entry.value.clone()), Some(bytes("d")));
    store.trim("never", last).await.unwrap();
}

async fn a_long_log_is_read_in_parts(store: Arc<dyn Store>) {
    let large: Vec<_> = (0..30).map(|entry| Bytes::from(vec![entry; 100_000])).collect();
    for entries in large.chunks(10) {
        store.append("long", entries.to_vec(), LONG).await.unwrap();
    }
    assert_eq!(values(&follow(&*store, "long", 0, 30).await), large);
}

async fn a_log_that_begins_anew_has_higher_numbers(store: Arc<dyn Store>) {
    let log = "begins-anew";
    let old = store
        .append(log, ["a", "b"].map(bytes).to_vec(), SHORT)
        .await
        .unwrap();
    sleep(PAST).await;
    assert_eq!(store.follow(log, 0, Patience::NONE).await.unwrap(), []);
    let new = store.append(log, vec![bytes("c")], LONG).await.unwrap();
    assert!(new > old, "{new} {old}");
    assert_eq!(
        values(&store.follow(log, old, PATIENT).await.unwrap()),
        [bytes("c")]
    );
    assert_eq!(
        values(&store.follow(log, 0, PATIENT).await.unwrap()),
        [bytes("c")]
    );
}

async fn a_log_lives_as_long_as_its_latest_entry(store: Arc<dyn Store>) {
    let first = store.append("lives", vec![bytes("a")], LONG).await.unwrap();
    store.append("lives", vec![bytes("b")], SHORT).await.unwrap();
    sleep(PAST).await;
    // the first was promised for longer; the second may be kept longer than was promised
    assert_eq!(
        store.follow("lives", 0, Patience::NONE).await.unwrap()[0].number,
        first
    );
}

async fn logs_and_records_do_not_meet(store: Arc<dyn Store>) {
    store.append("same", vec![bytes("log")], LONG).await.unwrap();
    assert_eq!(store.read("same").await.unwrap(), None);
    store.write("same", bytes("record"), None, LONG).await.unwrap();
    store.announce("same", LONG).await.unwrap();
    assert_eq!(
        values(&store.follow("same", 0, Patience::NONE).await.unwrap()),
        [bytes("log")]
    );
    assert_eq!(store.read("same").await.unwrap().unwrap().value, bytes("record"));
}

async fn a_value_may_be_as_large_as_the_limit(store: Arc<dyn Store>) {
    let limit = store.limit();
    let largest = Bytes::from(vec![7; limit]);
    let key = "k".repeat(200);
    assert_eq!(
        store.write(&key, largest.clone(), None, LONG).await.unwrap(),
        Written::Done(1)
    );
    assert_eq!(store.read(&key).await.unwrap().unwrap().value, largest);
    store
        .append(&key, vec![largest.clone(), largest.clone()], LONG)
        .await
        .unwrap();
    assert_eq!(
        values(&follow(&*store, &key, 0, 2).await),
        [largest.clone(), largest]
    );
    let larger = Bytes::from(vec![7; limit + 1]);
    for failure in [
        store
            .write(&key, larger.clone(), Some(1), LONG)
            .await
            .unwrap_err(),
        store
            .append(&key, vec![bytes("x"), larger], LONG)
            .await
            .unwrap_err(),
    ] {
        let Failure::TooLarge { size, limit: told } = failure else {
            panic!("{failure:?}")
        };
        assert_eq!((size, told), (limit + 1, limit));
    }
    assert_eq!(store.read(&key).await.unwrap().unwrap().version, 1);
}

async fn values_are_bytes(store: Arc<dyn Store>) {
    for (key, value) in [
        ("empty", Bytes::new()),
        ("zero", Bytes::from_static(&[0; 3])),
        ("all", (0..=255).collect()),
    ] {
        let key = format!("bytes-{key}");
        store.write(&key, value.clone(), None, LONG).await.unwrap();
        assert_eq!(store.read(&key).await.unwrap().unwrap().value, value);
        assert_eq!(store.touch(&key, LONG).await.unwrap().unwrap().value, value);
        store.append(&key, vec![value.clone()], LONG).await.unwrap();
        assert_eq!(values(&store.follow(&key, 0, PATIENT).await.unwrap()), [value]);
    }
}

async fn keys_may_have_every_documented_letter(store: Arc<dyn Store>) {
    let keys = ["odd-_.:Az09", ":", "..", "odd:a.b", "odd:a_b", "ODD:a.b"];
    for (index, key) in (0..).zip(keys) {
        store
            .write(key, Bytes::from(vec![index]), None, LONG)
            .await
            .unwrap();
        store
            .append(key, vec![Bytes::from(vec![index])], LONG)
            .await
            .unwrap();
        store.announce(key, LONG).await.unwrap();
    }
    for (index, key) in (0..).zip(keys) {
        let value = Bytes::from(vec![index]);
        assert_eq!(store.read(key).await.unwrap().unwrap().value, value);
        assert_eq!(values(&store.follow(key, 0, PATIENT).await.unwrap()), [value]);
        assert!(store.roll().await.unwrap().contains(&key.to_owned()));
    }
}

async fn the_roll_has_who_is_alive(store: Arc<dyn Store>) {
    let on = |name: &'static str| {
        let store = Arc::clone(&store);
        async move {
            store
                .roll()
                .await
                .unwrap()
                .iter()
                .filter(|instance| *instance == name)
                .count()
        }
    };
    assert_eq!(on("roll-a").await, 0);
    store.announce("roll-a", SHORT).await.unwrap();
    store.announce("roll-b", SHORT).await.unwrap();
    store.announce("roll-c", LONG).await.unwrap();
    store.announce("roll-a", LONG).await.unwrap();
    assert_eq!(
        (on("roll-a").await, on("roll-b").await, on("roll-c").await),
        (1, 1, 1)
    );
    store.announce("roll-c", Duration::ZERO).await.unwrap();
    assert_eq!(on("roll-c").await, 0);
    sleep(PAST).await;
    assert_eq!((on("roll-a").await, on("roll-b").await), (1, 0));
    store.announce("roll-b", LONG).await.unwrap();
    assert_eq!(on("roll-b").await, 1);
}

async fn many_follow_at_once(store: Arc<dyn Store>) {
    let log = |follower: usize| format!("many-{}", follower % 20);
    let patience = Patience {
        pause: Duration::from_millis(300),
        ..PATIENT
    };
    let followers = (0..60).map(|follower| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.follow(&log(follower), 0, patience).await })
    });
    let followers: Vec<_> = followers.collect();
    sleep(Duration::from_millis(200)).await;
    for writer in 0..20 {
        store
            .append(&log(writer), vec![bytes(&log(writer))], LONG)
            .await
            .unwrap();
    }
    for (follower, found) in join_all(followers).await.into_iter().enumerate() {
        assert_eq!(values(&found.unwrap().unwrap()), [bytes(&log(follower))]);
    }
}
