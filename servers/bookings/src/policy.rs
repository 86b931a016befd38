//! What may be booked: a company's policies, which hold whatever a model or a user asks for.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::{CarClass, HotelClass, Kind};

/// A company's travel policies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Where one may travel: codes of ISO 3166-1.
    countries: BTreeSet<String>,
    /// What a trip may be for.
    purposes: BTreeSet<String>,
    /// Days of a rental, nights of a stay.
    longest: u16,
    cars: BTreeSet<CarClass>,
    hotels: BTreeSet<HotelClass>,
}

impl Default for Policies {
    /// AcmeCorp's.
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program, and a test reads it"
    )]
    fn default() -> Self {
        Self::read(include_str!("../data/policies.toml")).expect("AcmeCorp's policies are right")
    }
}

/// A booking that somebody wants, as far as policies are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What kind of thing, and its class.
    pub kind: Kind,
    /// The city's country.
    pub country: &'a str,
    /// Days or nights.
    pub days: u16,
    /// What the trip is for; nothing where that is not known yet.
    pub purpose: Option<&'a str>,
}

/// A policy that a booking would break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The policy.
    pub policy: &'static str,
    /// What was wanted.
    pub wanted: String,
    /// What would be allowed.
    pub allowed: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            wanted,
            allowed,
        } = self;
        write!(
            f,
            "the travel policy on {policy} does not allow {wanted}; allowed: {allowed}"
        )
    }
}

/// One policy, as it is told to travellers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rule {
    /// What it is on.
    pub policy: &'static str,
    /// What is allowed.
    pub allowed: String,
}

const COUNTRIES: &str = "countries";
const PURPOSES: &str = "purposes";
const LENGTH: &str = "length";
const CARS: &str = "car classes";
const HOTELS: &str = "hotel classes";

impl Policies {
    /// Reads a file of policies (TOML).
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if read.longest == 0 {
            return Err("longest is 0; write at least 1".to_owned());
        }
        Ok(read)
    }

    /// All of them, for people to read.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        [COUNTRIES, CARS, HOTELS, LENGTH, PURPOSES]
            .map(|policy| Rule {
                policy,
                allowed: self.allowed(policy),
            })
            .into()
    }

    /// The policies that `wish` would break.
    #[must_use]
    pub fn broken_by(&self, wish: &Wish<'_>) -> Vec<Violation> {
        let (class, class_fits) = match wish.kind {
            Kind::Car(class) => (CARS, self.cars.contains(&class)),
            Kind::Hotel(class) => (HOTELS, self.hotels.contains(&class)),
        };
        let purpose = wish.purpose.unwrap_or_default();
        let purpose_fits = wish.purpose.is_none_or(|purpose| {
            let purpose = purpose.trim();
            self.purposes
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(purpose))
        });
        let checks = [
            (
                COUNTRIES,
                self.countries.contains(wish.country),
                format!("a trip to {}", wish.country),
            ),
            (class, class_fits, format!("the class {}", wish.kind.class())),
            (LENGTH, wish.days <= self.longest, format!("{} days", wish.days)),
            (PURPOSES, purpose_fits, format!("a trip for {purpose:?}")),
        ];
        let broken = checks.into_iter().filter(|(_, fits, _)| !fits);
        broken
            .map(|(policy, _, wanted)| Violation {
                policy,
                wanted,
                allowed: self.allowed(policy),
            })
            .collect()
    }

    /// The policies that something of this kind would break wherever it is.
    #[must_use]
    pub fn broken_by_class(&self, kind: Kind, days: u16) -> Vec<Violation> {
        let country = self.countries.first().map_or("", String::as_str);
        let mut broken = self.broken_by(&Wish {
            kind,
            country,
            days,
            purpose: None,
        });
        broken.retain(|violation| violation.policy != COUNTRIES);
        broken
    }

    fn allowed(&self, policy: &str) -> String {
        match policy {
            COUNTRIES => list(&self.countries),
            CARS => list(&self.cars),
            HOTELS => list(&self.hotels),
            LENGTH => format!("up to {} days or nights", self.longest),
            _ => list(&self.purposes),
        }
    }
}

fn list<T: ToString>(allowed: &BTreeSet<T>) -> String {
    let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
    match allowed.as_slice() {
        [] => "none".to_owned(),
        allowed => allowed.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(kind: Kind, country: &str, days: u16, purpose: &str) -> Vec<&'static str> {
        let wish = Wish {
            kind,
            country,
            days,
            purpose: Some(purpose),
        };
        let broken = Policies::default().broken_by(&wish);
        broken.into_iter().map(|violation| violation.policy).collect()
    }

    #[test]
    fn each_policy_is_held_and_all_that_are_broken_are_named() {
        let sedan = Kind::Car(CarClass::Sedan);
        assert_eq!(broken(sedan, "US", 5, "Business"), Vec::<&str>::new());
        assert_eq!(broken(sedan, "FR", 5, "business"), [COUNTRIES]);
        assert_eq!(broken(Kind::Car(CarClass::Luxury), "US", 1, "business"), [CARS]);
        assert_eq!(
            broken(Kind::Hotel(HotelClass::Luxury), "US", 1, "business"),
            [HOTELS]
        );
        assert_eq!(broken(sedan, "US", 6, "business"), [LENGTH]);
        assert_eq!(broken(sedan, "US", 1, "holiday"), [PURPOSES]);
        assert_eq!(
            broken(Kind::Car(CarClass::Luxury), "FR", 9, ""),
            [COUNTRIES, CARS, LENGTH, PURPOSES]
        );
    }

    #[test]
    fn a_refusal_says_what_would_be_allowed() {
        let wish = Wish {
            kind: Kind::Car(CarClass::Luxury),
            country: "US",
            days: 1,
            purpose: None,
        };
        let broken = Policies::default().broken_by(&wish);
        assert_eq!(
            broken[0].to_string(),
            "the travel policy on car classes does not allow the class luxury; allowed: sedan, suv"
        );
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for wrong in ["", "countries = []", "longest = 0", "whatever = 1"] {
            assert!(Policies::read(wrong).is_err(), "{wrong}");
        }
    }
}
