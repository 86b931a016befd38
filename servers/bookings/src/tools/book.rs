//! Booking: checked against policies, agreed to by the user, and then taken from what is free.

use jiff::{Timestamp, civil::Date};
use rmcp::{RoleServer, service::RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skydock::{Answer, Ask};

use super::{availability::checked, dollars, unreachable};
use crate::{
    Bookings, Consent,
    inventory::{CarClass, City, HotelClass, Kind, Offer},
    policy::{Violation, Wish},
    store::{Booking, Order, Outcome, Status},
};

/// The longest name that a caller may give to an order, in bytes.
const LONGEST_KEY: usize = 200;

/// A car to rent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CarOrder {
    /// Where, such as `Dallas`.
    city: String,
    /// The first day, as YYYY-MM-DD.
    #[schemars(with = "String", extend("format" = "date"))]
    start: Date,
    /// For how many days.
    #[schemars(range(min = 1, max = 365))]
    days: u16,
    /// The class of the car.
    class: CarClass,
    /// What the trip is for, such as `business`; ask the user.
    purpose: String,
    /// Your own name for this order. A call with the same name never books a second time.
    idempotency_key: Option<String>,
}

/// A room to book.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HotelOrder {
    /// Where, such as `Dallas`.
    city: String,
    /// The first night, as YYYY-MM-DD.
    #[schemars(with = "String", extend("format" = "date"))]
    check_in: Date,
    /// For how many nights.
    #[schemars(range(min = 1, max = 365))]
    nights: u16,
    /// The class of the hotel.
    class: HotelClass,
    /// What the trip is for, such as `business`; ask the user.
    purpose: String,
    /// Your own name for this order. A call with the same name never books a second time.
    idempotency_key: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Booked {
    /// The booking.
    booking: Booking,
    /// True when this very order had been booked before, and was not booked again.
    booked_before: bool,
}

/// What the user is asked.
#[derive(Debug, Deserialize, JsonSchema)]
struct Agreement {
    /// Do what the text above says
    #[schemars(title = "I agree")]
    agree: bool,
}
rmcp::elicit_safe!(Agreement);

/// An order of either kind.
struct Wanted {
    kind: Kind,
    start: Date,
    days: u16,
    purpose: String,
    key: Option<String>,
}

impl Wanted {
    /// What the user is asked.
    fn question(&self, city: &City, price: u32) -> String {
        format!(
            "Book a {} of the class {} in {} from {}, {} {}, for {}? It costs about {}.",
            self.kind.name(),
            self.kind.class(),
            city.name,
            self.start,
            self.days,
            unit(self.kind, self.days),
            self.purpose.trim(),
            dollars(self.total(price)),
        )
    }

    /// The booking that it would be.
    fn booking(&self, city: &City, offer: &Offer<'_>) -> Booking {
        Booking {
            id: uuid::Uuid::new_v4().to_string(),
            kind: self.kind.name().to_owned(),
            item: offer.item.to_owned(),
            class: self.kind.class(),
            city: city.name.clone(),
            start: self.start,
            days: self.days,
            purpose: self.purpose.trim().to_owned(),
            total_cents: self.total(offer.price),
            status: Status::Booked,
            booked_at: Timestamp::now(),
        }
    }

    fn total(&self, price: u32) -> u32 {
        price.saturating_mul(u32::from(self.days))
    }
}

impl Bookings {
    pub(super) async fn rent(
        &self,
        order: CarOrder,
        context: &RequestContext<RoleServer>,
    ) -> Result<Booked, String> {
        let city = self.inventory.city(&order.city)?;
        let wanted = Wanted {
            kind: Kind::Car(order.class),
            start: order.start,
            days: order.days,
            purpose: order.purpose,
            key: order.idempotency_key,
        };
        self.book(wanted, city, self.inventory.cars().collect(), context)
            .await
    }

    pub(super) async fn lodge(
        &self,
        order: HotelOrder,
        context: &RequestContext<RoleServer>,
    ) -> Result<Booked, String> {
        let city = self.inventory.city(&order.city)?;
        let wanted = Wanted {
            kind: Kind::Hotel(order.class),
            start: order.check_in,
            days: order.nights,
            purpose: order.purpose,
            key: order.idempotency_key,
        };
        self.book(wanted, city, city.hotels().collect(), context).await
    }

    async fn book(
        &self,
        wanted: Wanted,
        city: &City,
        mut offers: Vec<Offer<'_>>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Booked, String> {
        self.check(&wanted, city)?;
        offers.retain(|offer| offer.kind == wanted.kind);
        let class = wanted.kind.class();
        let Some(first) = offers.first() else {
            return Err(format!(
                "there is no {} of the class {class} in {}",
                wanted.kind.name(),
                city.name
            ));
        };
        self.agreed(wanted.question(city, first.price), context).await?;
        let mut full = wanted.start;
        for offer in &offers {
            let order = Order {
                user: self.user(context),
                booking: wanted.booking(city, offer),
                key: wanted.key.clone(),
                units: offer.units,
            };
            let outcome = self.store.book(order).await;
            let (booking, booked_before) = match outcome.map_err(|failure| unreachable(&failure))? {
                Outcome::Booked(booking) => (booking, false),
                Outcome::Before(booking) => (booking, true),
                Outcome::Otherwise(other) => {
                    return Err(format!(
                        "idempotencyKey was used before, for a {} in {} from {}; take another one",
                        other.kind, other.city, other.start
                    ));
                }
                Outcome::Full(day) => {
                    full = day;
                    continue;
                }
            };
            return Ok(Booked {
                booking,
                booked_before,
            });
        }
        Err(format!(
            "no {} of the class {class} is free in {} on {full}; nothing was booked",
            wanted.kind.name(),
            city.name
        ))
    }

    /// Whether something may be booked at all, before anybody is asked.
    fn check(&self, wanted: &Wanted, city: &City) -> Result<(), String> {
        checked(wanted.days)?;
        self.check_start(wanted.start)?;
        if let Some(key) = &wanted.key
            && !(1..=LONGEST_KEY).contains(&key.len())
        {
            return Err(format!(
                "idempotencyKey has {} bytes; write 1 to {LONGEST_KEY}",
                key.len()
            ));
        }
        let broken = self.policies.broken_by(&Wish {
            kind: wanted.kind,
            country: &city.country,
            days: wanted.days,
            purpose: Some(&wanted.purpose),
        });
        if broken.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = broken.iter().map(Violation::to_string).collect();
        Err(format!("nothing was booked: {}", reasons.join("; ")))
    }

    /// The user agrees, or nothing is done.
    async fn agreed(&self, question: String, context: &RequestContext<RoleServer>) -> Result<(), String> {
        if self.consent == Consent::Host {
            return Ok(());
        }
        let ask = Ask::from(context);
        if !ask.can_elicit() {
            return Err("nothing was done: the user has to agree, and this client cannot ask them (it has no elicitation). \
                        Whoever runs the server can leave the question to the client: --consent host"
                .to_owned());
        }
        match ask.form::<Agreement>("agreement", question).await {
            Ok(Answer::Accepted(Agreement { agree: true })) => Ok(()),
            Ok(_) => Err("nothing was done: the user does not agree".to_owned()),
            Err(error) => Err(format!("nothing was done: the user could not be asked ({error})")),
        }
    }

    pub(super) async fn cancel(
        &self,
        id: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<Booking, String> {
        let user = self.user(context);
        let own = self
            .store
            .of(&user)
            .await
            .map_err(|failure| unreachable(&failure))?;
        let unknown = || format!("you have no booking {id:?}; list-bookings has yours");
        let booking = own
            .into_iter()
            .find(|booking| booking.id == id)
            .ok_or_else(unknown)?;
        if booking.status == Status::Cancelled {
            return Ok(booking);
        }
        let question = format!(
            "Cancel the {} in {} from {}, {} {}?",
            booking.item,
            booking.city,
            booking.start,
            booking.days,
            if booking.kind == "hotel" { "nights" } else { "days" },
        );
        self.agreed(question, context).await?;
        let cancelled = self.store.cancel(&user, id).await;
        cancelled
            .map_err(|failure| unreachable(&failure))?
            .ok_or_else(unknown)
    }
}

const fn unit(kind: Kind, count: u16) -> &'static str {
    match (kind, count) {
        (Kind::Car(_), 1) => "day",
        (Kind::Car(_), _) => "days",
        (Kind::Hotel(_), 1) => "night",
        (Kind::Hotel(_), _) => "nights",
    }
}
