//! What is free, on which days, at what price, and whether policies allow it.

use std::collections::HashMap;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unreachable;
use crate::{
    Bookings,
    inventory::{City, Offer},
    policy::{Violation, Wish},
};

/// What cars to look for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CarsWanted {
    /// Where, such as `Dallas`. Without it the answer is what cars there are in every city.
    city: Option<String>,
    /// The first day, as YYYY-MM-DD. Without it the answer does not say how many are free.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    start: Option<Date>,
    /// For how many days; 1 unless said otherwise.
    #[schemars(range(min = 1, max = 365))]
    days: Option<u16>,
}

/// What hotels to look for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HotelsWanted {
    /// Where, such as `Dallas`.
    city: String,
    /// The first night, as YYYY-MM-DD.
    #[schemars(with = "String", extend("format" = "date"))]
    check_in: Date,
    /// For how many nights.
    #[schemars(range(min = 1, max = 365))]
    nights: u16,
}

/// What there is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    /// The city, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    /// What can be booked, and what cannot.
    offers: Vec<Listed>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// The model of a car, the name of a hotel.
    item: String,
    /// Its class; booking takes it.
    class: String,
    /// US cents for a day or night.
    price_cents: u32,
    /// How many are free on all of these days.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u32>,
    /// Whether policies allow it, as far as that is known without the purpose of the trip.
    allowed: bool,
    /// The policies that do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
}

impl Bookings {
    pub(super) async fn cars(&self, wanted: &CarsWanted) -> Result<Found, String> {
        let city = wanted
            .city
            .as_deref()
            .map(|city| self.inventory.city(city))
            .transpose()?;
        let days = checked(wanted.days.unwrap_or(1))?;
        let taken = match (city, wanted.start) {
            (Some(city), Some(start)) => Some(self.taken("car", city, start, days).await?),
            (None, Some(_)) => return Err("say in which city, or leave the date out".to_owned()),
            (_, None) => None,
        };
        Ok(self.found(city, self.inventory.cars().collect(), days, taken.as_ref()))
    }

    pub(super) async fn hotels(&self, wanted: &HotelsWanted) -> Result<Found, String> {
        let city = self.inventory.city(&wanted.city)?;
        let nights = checked(wanted.nights)?;
        let taken = self.taken("hotel", city, wanted.check_in, nights).await?;
        Ok(self.found(Some(city), city.hotels().collect(), nights, Some(&taken)))
    }

    async fn taken(
        &self,
        kind: &'static str,
        city: &City,
        start: Date,
        days: u16,
    ) -> Result<HashMap<String, u32>, String> {
        self.check_start(start)?;
        let taken = self.store.taken(kind, &city.name, start, days).await;
        taken.map_err(|failure| unreachable(&failure))
    }

    fn found(
        &self,
        city: Option<&City>,
        offers: Vec<Offer<'_>>,
        days: u16,
        taken: Option<&HashMap<String, u32>>,
    ) -> Found {
        let listed = offers.into_iter().map(|offer| {
            let violations = city.map_or_else(
                // in a country that is allowed, if there is one
                || self.policies.broken_by_class(offer.kind, days),
                |city| {
                    self.policies.broken_by(&Wish {
                        kind: offer.kind,
                        country: &city.country,
                        days,
                        purpose: None,
                    })
                },
            );
            Listed {
                item: offer.item.to_owned(),
                class: offer.kind.class(),
                price_cents: offer.price,
                free: taken.map(|taken| {
                    let taken = taken.get(offer.item).copied().unwrap_or_default();
                    offer.units.saturating_sub(taken)
                }),
                allowed: violations.is_empty(),
                violations,
            }
        });
        Found {
            city: city.map(|city| city.name.clone()),
            offers: listed.collect(),
        }
    }
}

/// A number of days that something can be looked for.
pub(super) fn checked(days: u16) -> Result<u16, String> {
    if (1..=365).contains(&days) {
        return Ok(days);
    }
    Err(format!("{days} days cannot be booked; say 1 to 365"))
}
