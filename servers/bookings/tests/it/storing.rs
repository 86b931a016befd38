//! What is kept in a file. What holds of every store is in `checks`, which has the others.

use std::path::Path;

use bookings::store::{Booking, Order, Outcome, Sqlite, Status, Store as _};
use jiff::{Timestamp, ToSpan as _, civil::Date};

const FIRST: Date = jiff::civil::date(2027, 3, 1);

fn order(user: &str, id: &str, start: Date, days: u16, units: u32) -> Order {
    Order {
        user: user.to_owned(),
        booking: Booking {
            id: id.to_owned(),
            kind: "car".to_owned(),
            item: "Toyota Corolla".to_owned(),
            class: "sedan".to_owned(),
            city: "Dallas".to_owned(),
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

/// A directory of its own that is removed in the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("bookings.sqlite")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_is_booked_is_there_when_the_file_is_opened_again() {
    let folder = Folder::new("again");
    let store = Sqlite::open(&folder.file()).unwrap();
    store.book(order("ada", "a", FIRST, 2, 1)).await.unwrap();
    drop(store);
    let store = Sqlite::open(&folder.file()).unwrap();
    let bookings = store.of("ada").await.unwrap();
    assert_eq!(
        (bookings.len(), bookings[0].start, bookings[0].days),
        (1, FIRST, 2)
    );
    let second = FIRST.saturating_add(1.days());
    assert_eq!(
        store.book(order("bob", "b", second, 1, 1)).await.unwrap(),
        Outcome::Full(second)
    );
    let file = folder.0.join("not-a-database");
    std::fs::write(&file, "this is no database, and long enough to show it").unwrap();
    assert!(Sqlite::open(&file).is_err());
    assert!(Sqlite::open(&file.join("below-a-file")).is_err());
}
