//! The tools in the hands of a model: policies hold, the user is asked, and what is booked is not free any more.

use bookings::Consent;
use serde_json::{Value, json};

use crate::client::{Client, User, sedan, server};

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut order = sedan();
    order[field] = value.into();
    order
}

#[tokio::test]
async fn a_trip_is_looked_for_booked_listed_and_cancelled() {
    let client = Client::of(&server(), User::Agrees).await;
    let policies = client.call("get-travel-policies", json!({})).await.unwrap();
    assert_eq!(policies["policies"].as_array().unwrap().len(), 5, "{policies}");

    let free = async || {
        let wanted = json!({"city": "dallas", "start": "2026-12-01", "days": 1});
        let found = client.call("get-available-cars", wanted).await.unwrap();
        let offers = found["offers"].as_array().unwrap().clone();
        offers
            .into_iter()
            .find(|offer| offer["class"] == "sedan")
            .unwrap()["free"]
            .clone()
    };
    assert_eq!(free().await, 5);
    let booked = client.call("book-car", sedan()).await.unwrap();
    assert_eq!(booked["bookedBefore"], false);
    assert_eq!(booked["booking"]["totalCents"], 13_500, "{booked}");
    assert_eq!(free().await, 4);
    assert_eq!(
        client.questions(),
        [
            "Book a car of the class sedan in Dallas from 2026-11-30, 3 days, for business? It costs about 135.00 USD."
        ]
    );

    let again = client.call("book-car", sedan()).await.unwrap();
    assert_eq!(again["bookedBefore"], true);
    assert_eq!(again["booking"], booked["booking"]);
    assert_eq!(free().await, 4);

    let room = json!({"city": "Dallas", "checkIn": "2026-11-30", "nights": 2, "class": "superior", "purpose": "Business"});
    let room = client.call("book-hotel", room).await.unwrap();
    assert_eq!(room["booking"]["item"], "Reunion Park Hotel");
    let listed = client.call("list-bookings", json!({})).await.unwrap();
    assert_eq!(listed["bookings"].as_array().unwrap().len(), 2);

    let id = json!({"id": booked["booking"]["id"]});
    let cancelled = client.call("cancel-booking", id.clone()).await.unwrap();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(client.call("cancel-booking", id).await.unwrap(), cancelled);
    assert_eq!(free().await, 5);
    let left = client
        .call("list-bookings", json!({"status": "booked"}))
        .await
        .unwrap();
    assert_eq!(left["bookings"].as_array().unwrap().len(), 1, "{left}");
}

#[tokio::test]
async fn what_policies_do_not_allow_is_refused_and_nobody_is_asked() {
    let client = Client::of(&server(), User::Agrees).await;
    for (order, told) in [
        (
            with("city", "Paris"),
            "countries does not allow a trip to FR; allowed: US",
        ),
        (
            with("class", "luxury"),
            "car classes does not allow the class luxury; allowed: sedan, suv",
        ),
        (with("days", 6), "length does not allow 6 days; allowed: up to 5"),
        (
            with("purpose", "holiday"),
            "purposes does not allow a trip for \"holiday\"; allowed: business",
        ),
    ] {
        let refusal = client.call("book-car", order).await.unwrap_err();
        assert!(refusal.contains(told), "{refusal}");
    }
    let room = json!({"city": "Dallas", "checkIn": "2026-11-30", "nights": 2, "class": "luxury", "purpose": "business"});
    let refusal = client.call("book-hotel", room).await.unwrap_err();
    assert!(refusal.contains("hotel classes"), "{refusal}");
    assert_eq!(client.questions(), Vec::<String>::new());
    let listed = client.call("list-bookings", json!({})).await.unwrap();
    assert_eq!(listed["bookings"], json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_way_out() {
    let client = Client::of(&server(), User::Agrees).await;
    for (order, told) in [
        (with("city", "Atlantis"), "the cities are Dallas, New York"),
        (with("start", "2026-11-26"), "today is 2026-11-27"),
        (with("start", "2027-11-28"), "a trip begins by 2027-11-27"),
        (with("days", 0), "say 1 to 365"),
        (with("idempotencyKey", ""), "write 1 to 200"),
        (with("idempotencyKey", "x".repeat(201)), "write 1 to 200"),
    ] {
        let refusal = client.call("book-car", order).await.unwrap_err();
        assert!(refusal.contains(told), "{refusal}");
    }
    let dated = json!({"start": "2026-11-30"});
    let refusal = client.call("get-available-cars", dated).await.unwrap_err();
    assert!(refusal.contains("say in which city"), "{refusal}");
    let unknown = client
        .call("cancel-booking", json!({"id": "nobody's"}))
        .await
        .unwrap_err();
    assert!(unknown.contains("list-bookings has yours"), "{unknown}");
    assert_eq!(client.questions(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_booked_or_cancelled_that_the_user_does_not_agree_to() {
    let server = server();
    let agreeing = Client::of(&server, User::Agrees).await;
    let booked = agreeing.call("book-car", sedan()).await.unwrap();
    let id = json!({"id": booked["booking"]["id"]});
    for (user, told) in [
        (User::Disagrees, "does not agree"),
        (User::Declines, "does not agree"),
        (User::OutOfReach, "this client cannot ask them"),
    ] {
        let client = Client::of(&server, user).await;
        let refusal = client.call("book-car", with("days", 1)).await.unwrap_err();
        assert!(refusal.contains(told), "{refusal}");
        let refusal = client.call("cancel-booking", id.clone()).await.unwrap_err();
        assert!(refusal.contains(told), "{refusal}");
    }
    let listed = agreeing.call("list-bookings", json!({})).await.unwrap();
    assert_eq!(listed["bookings"], json!([booked["booking"]]));
}

#[tokio::test]
async fn a_host_that_asks_by_itself_can_be_trusted_with_that() {
    let server = server().with_consent(Consent::Host);
    let client = Client::of(&server, User::OutOfReach).await;
    let booked = client.call("book-car", sedan()).await.unwrap();
    assert_eq!(booked["booking"]["status"], "booked");
    let refusal = client
        .call("book-car", with("class", "luxury"))
        .await
        .unwrap_err();
    assert!(refusal.contains("policy"), "{refusal}");
}

#[tokio::test]
async fn the_last_room_is_booked_once() {
    let server = server();
    let client = Client::of(&server, User::Agrees).await;
    let suv = |key: u32| {
        let mut order = with("class", "suv");
        order["idempotencyKey"] = json!(key.to_string());
        order
    };
    for key in 0..3 {
        client.call("book-car", suv(key)).await.unwrap();
    }
    let full = client.call("book-car", suv(3)).await.unwrap_err();
    assert!(
        full.contains("no car of the class suv is free in Dallas on 2026-11-30"),
        "{full}"
    );
    // what was booked before is still the answer to the same order
    let again = client.call("book-car", suv(0)).await.unwrap();
    assert_eq!(again["bookedBefore"], true);
    let other = json!({"city": "Dallas", "start": "2026-11-30", "days": 2, "class": "suv", "purpose": "business", "idempotencyKey": "0"});
    let refusal = client.call("book-car", other).await.unwrap_err();
    assert!(refusal.contains("idempotencyKey was used before"), "{refusal}");
}
