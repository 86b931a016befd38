//! The tools: what a model sees. A refusal says what would be allowed.

mod availability;
mod book;

use jiff::civil::Date;
use rmcp::{
    Json, RoleServer, ServerHandler,
    handler::server::wrapper::Parameters,
    model::{Implementation, ServerCapabilities, ServerConfig},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    availability::{CarsWanted, Found, HotelsWanted},
    book::{Booked, CarOrder, HotelOrder},
};
use crate::{
    Bookings,
    policy::Rule,
    store::{Booking, Failure, Status},
};

const INSTRUCTIONS: &str = "Books cars and hotels for business trips. The company's travel policies hold for every booking: \
                            read them with get-travel-policies before you propose a trip. Look what is free before you \
                            book. A booking is made when the user has agreed to it; a refusal is final until what was \
                            wanted changes.";

/// What may be booked.
#[derive(Debug, Serialize, JsonSchema)]
struct Policies {
    /// For whom.
    user: String,
    /// All of them hold.
    policies: Vec<Rule>,
    /// Where something can be booked.
    cities: Vec<String>,
}

/// Which bookings to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    /// Only those with this status; all without it.
    status: Option<Status>,
}

/// A user's bookings.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// Whose they are.
    user: String,
    /// The earliest trip first.
    bookings: Vec<Booking>,
}

/// Which booking to cancel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cancel {
    /// The booking's id, from list-bookings.
    id: String,
}

#[tool_router(router = tools, vis = "pub(crate)")]
impl Bookings {
    #[tool(
        name = "get-travel-policies",
        title = "Travel policies",
        description = "The company's travel policies, which hold for every booking, and the cities that can be travelled \
                       to.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_travel_policies(&self, context: RequestContext<RoleServer>) -> Json<Policies> {
        Json(Policies {
            user: self.called(&context),
            policies: self.policies.rules(),
            cities: self
                .inventory
                .cities()
                .map(|city| format!("{} ({})", city.name, city.country))
                .collect(),
        })
    }

    #[tool(
        name = "get-available-cars",
        title = "Available cars",
        description = "The cars that can be rented, what they cost, and whether policies allow them; with a city and dates \
                       also how many of them are free.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_available_cars(
        &self,
        Parameters(wanted): Parameters<CarsWanted>,
    ) -> Result<Json<Found>, String> {
        self.cars(&wanted).await.map(Json)
    }

    #[tool(
        name = "get-available-hotels",
        title = "Available hotels",
        description = "The hotels of a city, how many rooms are free in all of these nights, what they cost, and whether \
                       policies allow them.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_available_hotels(
        &self,
        Parameters(wanted): Parameters<HotelsWanted>,
    ) -> Result<Json<Found>, String> {
        self.hotels(&wanted).await.map(Json)
    }

    #[tool(
        name = "book-car",
        title = "Book a car",
        description = "Rents a car for some days, after the user has agreed. What policies do not allow is refused. The same \
                       order given twice books once.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn book_car(
        &self,
        Parameters(order): Parameters<CarOrder>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Booked>, String> {
        self.rent(order, &context).await.map(Json)
    }

    #[tool(
        name = "book-hotel",
        title = "Book a hotel",
        description = "Books a room for some nights, after the user has agreed. What policies do not allow is refused. The \
                       same order given twice books once.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn book_hotel(
        &self,
        Parameters(order): Parameters<HotelOrder>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Booked>, String> {
        self.lodge(order, &context).await.map(Json)
    }

    #[tool(
        name = "list-bookings",
        title = "My bookings",
        description = "The user's own bookings, the earliest trip first.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_bookings(
        &self,
        Parameters(which): Parameters<Which>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Listed>, String> {
        let user = self.user(&context);
        let mut bookings = self
            .store
            .of(&user)
            .await
            .map_err(|failure| unreachable(&failure))?;
        bookings.retain(|booking| which.status.is_none_or(|status| booking.status == status));
        let user = self.called(&context);
        Ok(Json(Listed { user, bookings }))
    }

    #[tool(
        name = "cancel-booking",
        title = "Cancel a booking",
        description = "Cancels one of the user's own bookings, after the user has agreed. What was booked is free again.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn cancel_booking(
        &self,
        Parameters(Cancel { id }): Parameters<Cancel>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Booking>, String> {
        self.cancel(&id, &context).await.map(Json)
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Bookings {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("bookings", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }
}

/// How far ahead something can be booked.
const AHEAD: i32 = 365;

impl Bookings {
    /// Whether something can be booked that begins on this day.
    fn check_start(&self, start: Date) -> Result<(), String> {
        let today = (self.today)();
        let last = today.saturating_add(jiff::Span::new().days(AHEAD));
        if (today..=last).contains(&start) {
            return Ok(());
        }
        Err(format!(
            "{start} cannot be booked; today is {today}, and a trip begins by {last}"
        ))
    }
}

/// What a model hears when the store fails; the cause is in the log.
fn unreachable(failure: &Failure) -> String {
    let reference = skydock::reference();
    let error: &dyn std::error::Error = failure;
    tracing::error!(error, reference, "the store of bookings failed");
    format!(
        "the bookings cannot be reached (reference {reference}); the same call can be made again, and books once"
    )
}

/// Cents as people write them.
fn dollars(cents: u32) -> String {
    format!("{}.{:02} USD", cents / 100, cents % 100)
}
