//! `bookings` as others use it, and what holds of each of its stores, whoever meets in it: no unit is given twice, and
//! what is retried is booked once. On a file of SQLite that two share, and on DynamoDB.

use std::{collections::HashMap, sync::Arc};

use bookings::store::{self, Booking, Order, Outcome, Sqlite, Status, Store};
use checks::{dynamodb::DynamoDb, program::Program, scratch::Scratch, tools};
use futures::future::join_all;
use jiff::{Timestamp, ToSpan as _, civil::Date};
use serde_json::{Value, json};

use crate::{
    clients::{inspector, names, python},
    conversations::settings,
    wire::Http,
};

const FIRST: Date = jiff::civil::date(2027, 3, 1);

const TOOLS: [&str; 7] = [
    "book-car",
    "book-hotel",
    "cancel-booking",
    "get-available-cars",
    "get-available-hotels",
    "get-travel-policies",
    "list-bookings",
];

/// Two that share what is in them, as two processes would.
type Stores = [Arc<dyn Store>; 2];

async fn keeps_the_contract(stores: Stores) {
    the_last_car_is_rented_once_by_fifty_who_want_it(&stores).await;
    no_day_has_more_rentals_than_cars_whatever_is_booked_and_cancelled(&stores).await;
    what_is_retried_is_booked_once(&stores).await;
    an_order_has_one_name_and_a_name_one_order(&stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_contract() {
    let scratch = Scratch::new("bookings").unwrap();
    let file = scratch.path().join("bookings.sqlite");
    let open = || Arc::new(Sqlite::open(&file).unwrap()) as Arc<dyn Store>;
    keeps_the_contract([open(), open()]).await;
}

#[tokio::test]
async fn what_is_booked_is_there_when_the_file_is_opened_again() {
    let scratch = Scratch::new("bookings-again").unwrap();
    let file = scratch.path().join("bookings.sqlite");
    let store = Sqlite::open(&file).unwrap();
    store
        .book(order("Dallas", "ada", "a", (FIRST, 2), 1))
        .await
        .unwrap();
    drop(store);
    let store = Sqlite::open(&file).unwrap();
    let bookings = store.of("ada").await.unwrap();
    assert_eq!(
        (bookings.len(), bookings[0].start, bookings[0].days),
        (1, FIRST, 2)
    );
    let second = FIRST.saturating_add(1.days());
    assert_eq!(
        store
            .book(order("Dallas", "bob", "b", (second, 1), 1))
            .await
            .unwrap(),
        Outcome::Full(second)
    );
    let file = scratch.path().join("not-a-database");
    std::fs::write(&file, "this is no database, and long enough to show it").unwrap();
    assert!(Sqlite::open(&file).is_err());
    assert!(Sqlite::open(&file.join("below-a-file")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_the_contract() {
    let dynamodb = DynamoDb::local().await.unwrap();
    dynamodb.create_table("bookings").await.unwrap();
    let config = settings(&dynamodb.url()).await;
    let connect = || Arc::new(store::DynamoDb::new("bookings", &config)) as Arc<dyn Store>;
    keeps_the_contract([connect(), connect()]).await;
    dynamodb.stop().await.unwrap();
}

/// An order of a car in `city`, of which there are so many.
fn order(city: &str, user: &str, id: &str, (start, days): (Date, u16), units: u32) -> Order {
    Order {
        user: user.to_owned(),
        booking: Booking {
            id: id.to_owned(),
            kind: "car".to_owned(),
            item: "Toyota Corolla".to_owned(),
            class: "sedan".to_owned(),
            city: city.to_owned(),
            start,
            days,
            purpose: "business".to_owned(),
            total_cents: 4_500,
            status: Status::Booked,
            booked_at: Timestamp::now(),
        },
        key: None,
        units,
    }
}

fn is_booked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Booked(_))
}

async fn the_last_car_is_rented_once_by_fifty_who_want_it(stores: &Stores) {
    let callers = (0..50).map(|number: usize| {
        let store = Arc::clone(&stores[number % 2]);
        tokio::spawn(async move {
            let name = format!("caller-{number}");
            store
                .book(order("last", &name, &name, (FIRST, 3), 1))
                .await
                .unwrap()
        })
    });
    let outcomes: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| is_booked(outcome)).count(), 1);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Full(FIRST))
            .count(),
        49
    );
}

async fn no_day_has_more_rentals_than_cars_whatever_is_booked_and_cancelled(stores: &Stores) {
    const UNITS: u32 = 3;
    let workers = (0..6_u64).map(|worker| {
        let store = Arc::clone(&stores[usize::try_from(worker).unwrap() % 2]);
        tokio::spawn(async move {
            // a small generator that gives the same orders each time
            let mut state = 0x9e37_79b9_7f4a_7c15 ^ worker;
            let mut next = move |below: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let user = format!("user-{worker}");
            let mut own = Vec::new();
            for number in 0..60 {
                if next(4) == 0
                    && let Some(id) = own.pop()
                {
                    let id: String = id;
                    let cancelled = store.cancel(&user, &id).await.unwrap().unwrap();
                    assert_eq!(cancelled.status, Status::Cancelled);
                    continue;
                }
                let start = FIRST.saturating_add(i64::try_from(next(20)).unwrap().days());
                let days = u16::try_from(1 + next(5)).unwrap();
                let id = format!("{user}-{number}");
                if is_booked(
                    &store
                        .book(order("many", &user, &id, (start, days), UNITS))
                        .await
                        .unwrap(),
                ) {
                    own.push(id);
                }
            }
            store.of(&user).await.unwrap()
        })
    });
    let mut taken: HashMap<Date, u32> = HashMap::new();
    for worker in join_all(workers).await {
        let bookings = worker.unwrap();
        for booking in bookings.iter().filter(|booking| booking.status == Status::Booked) {
            for day in 0..booking.days {
                *taken
                    .entry(booking.start.saturating_add(i64::from(day).days()))
                    .or_default() += 1;
            }
        }
    }
    let store = &stores[0];
    assert!(
        taken.values().any(|count| *count == UNITS),
        "nothing was ever full: {taken:?}"
    );
    for (day, count) in taken {
        assert!(count <= UNITS, "{count} cars on {day}");
        let said = store.taken("car", "many", day, 1).await.unwrap();
        assert_eq!(said["Toyota Corolla"], count, "{day}");
    }
}

async fn what_is_retried_is_booked_once(stores: &Stores) {
    let tries = (0..20).map(|number: usize| {
        let store = Arc::clone(&stores[number % 2]);
        tokio::spawn(async move {
            let order = order("retried", "ada", &format!("try-{number}"), (FIRST, 2), 5);
            store.book(order).await.unwrap()
        })
    });
    let outcomes: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| is_booked(outcome)).count(), 1);
    let store = &stores[0];
    let bookings = store.of("ada").await.unwrap();
    assert_eq!(bookings.len(), 1);
    assert!(outcomes.contains(&Outcome::Before(bookings[0].clone())));

    // somebody else's order is not hers, nor is the same one after it was cancelled
    assert!(is_booked(
        &store
            .book(order("retried", "bob", "of-bob", (FIRST, 2), 5))
            .await
            .unwrap()
    ));
    store.cancel("ada", &bookings[0].id).await.unwrap();
    assert!(is_booked(
        &store
            .book(order("retried", "ada", "again", (FIRST, 2), 5))
            .await
            .unwrap()
    ));
}

async fn an_order_has_one_name_and_a_name_one_order(stores: &Stores) {
    let store = &stores[1];
    let named = |id: &str, days: u16| Order {
        key: Some("trip-7".to_owned()),
        ..order("named", "ann", id, (FIRST, days), 5)
    };
    let Outcome::Booked(first) = store.book(named("a", 2)).await.unwrap() else {
        panic!("it is not booked");
    };
    assert_eq!(
        store.book(named("b", 2)).await.unwrap(),
        Outcome::Before(first.clone())
    );
    assert_eq!(
        store.book(named("c", 3)).await.unwrap(),
        Outcome::Otherwise(first.clone())
    );
    let cancelled = store.cancel("ann", &first.id).await.unwrap().unwrap();
    // a late retry brings nothing back
    assert_eq!(
        store.book(named("d", 2)).await.unwrap(),
        Outcome::Before(cancelled)
    );
    let other = Order {
        user: "ben".to_owned(),
        ..named("e", 2)
    };
    assert!(is_booked(&store.book(other).await.unwrap()));
}

/// A day within the year for which something can be booked.
fn soon() -> String {
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    today.saturating_add(30.days()).to_string()
}

async fn serve(flags: &[&str]) -> Program {
    Program::serve(&tools::built("bookings").unwrap(), flags)
        .await
        .unwrap()
}

#[tokio::test]
async fn mcp_inspector_lists_and_calls_the_tools() {
    // it can ask nobody, and shows its user what it calls
    let server = serve(&["--store", "memory", "--consent", "host"]).await;
    let url = server.mcp();
    let target = [url.as_str(), "--transport", "http"];
    let listed = inspector(&target, &["--method", "tools/list", "--strict"]).await;
    assert_eq!(names(&listed), TOOLS);
    let start = format!("start={}", soon());
    let wanted = ["city=Dallas", &start, "days=3"];
    // what follows `--tool-arg` is taken for an argument up to the next flag
    let call = ["--method", "tools/call", "--tool-arg"];
    let asked = [&call[..], &wanted, &["--tool-name", "get-available-cars"]].concat();
    let found = inspector(&target, &asked).await;
    assert_eq!(found["structuredContent"]["offers"][0]["free"], 5, "{found}");
    let order = ["class=sedan", "purpose=business"];
    let asked = [&call[..], &wanted, &order, &["--tool-name", "book-car"]].concat();
    let booked = inspector(&target, &asked).await;
    assert_eq!(
        booked["structuredContent"]["booking"]["status"], "booked",
        "{booked}"
    );
}

#[tokio::test]
async fn the_python_sdk_books_when_its_user_agrees() {
    let car = json!({"city": "Dallas", "start": soon(), "days": 3, "class": "sedan", "purpose": "business"});
    let hotel =
        json!({"city": "Dallas", "checkIn": soon(), "nights": 3, "class": "standard", "purpose": "business"});
    for way in ["legacy", "2026-07-28"] {
        let server = serve(&["--store", "memory"]).await;
        for (tool, order, item) in [
            ("book-car", &car, "Toyota Corolla"),
            ("book-hotel", &hotel, "Elm Street Inn"),
        ] {
            let said = python(&[way, "http", &server.mcp(), tool, &order.to_string()]).await;
            assert_eq!(said["structured"]["booking"]["item"], item, "{way}: {said}");
            assert_eq!(said["asked"].as_array().unwrap().len(), 1, "{way}: {said}");
        }
        let mut luxury = car.clone();
        luxury["class"] = json!("luxury");
        let said = python(&[way, "http", &server.mcp(), "book-car", &luxury.to_string()]).await;
        assert_eq!(
            (&said["isError"], &said["asked"]),
            (&json!(true), &json!([])),
            "{way}: {said}"
        );
    }
}

async fn booked(server: &Program, order: Value) -> Value {
    let params = json!({"name": "book-car", "arguments": order});
    Http::new(server.mcp()).modern("tools/call", params).await.body["result"].clone()
}

/// Whoever is killed in the middle has booked all of it or nothing, and what is retried elsewhere is booked once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_it_books_leaves_nothing_half_done() {
    let scratch = Scratch::new("bookings-killed").unwrap();
    let store = format!("sqlite:{}", scratch.path().join("bookings.sqlite").display());
    let flags = ["--store", &store, "--consent", "host"];
    let day = |number: i64| {
        let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        today.saturating_add((30 + number).days()).to_string()
    };
    for round in 0..5_i64 {
        let mut server = serve(&flags).await;
        let url = server.mcp();
        let orders = (0..40_i64).map(|number| {
            json!({
                "city": "Seattle", "start": day(round * 40 + number), "days": 3, "class": "sedan",
                "purpose": "business", "idempotencyKey": format!("{round}-{number}"),
            })
        });
        let orders: Vec<_> = orders.collect();
        let calls = orders.iter().cloned().map(|order| {
            let url = url.clone();
            tokio::spawn(async move {
                let params = json!({"name": "book-car", "arguments": order});
                Http::new(url).modern("tools/call", params).await
            })
        });
        let calls: Vec<_> = calls.collect();
        let first = booked(&server, orders[0].clone()).await;
        assert_eq!(
            first["structuredContent"]["booking"]["status"], "booked",
            "{first}"
        );
        server.kill().await.unwrap();
        for call in calls {
            // the answer may be lost with the server, and whoever waits for it falls over
            let _ = call.await;
        }
        let server = serve(&flags).await;
        for order in &orders {
            let answer = booked(&server, order.clone()).await;
            assert_eq!(
                answer["structuredContent"]["booking"]["status"], "booked",
                "{answer}"
            );
        }
        let again = booked(&server, orders[0].clone()).await;
        assert_eq!(again["structuredContent"]["bookedBefore"], true, "{again}");
        assert!(server.stop().await.unwrap().success());
    }
}
