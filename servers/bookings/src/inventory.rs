//! What there is to book: the cars and hotels of each city, how many of them, and at what price.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A class of cars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CarClass {
    /// Four doors and a boot.
    Sedan,
    /// Room for five and their luggage.
    Suv,
    /// What looks expensive, and is.
    Luxury,
}

/// A class of hotels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HotelClass {
    /// A bed and a desk.
    Standard,
    /// With a restaurant.
    Superior,
    /// With everything.
    Luxury,
}

impl fmt::Display for CarClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sedan => "sedan",
            Self::Suv => "suv",
            Self::Luxury => "luxury",
        })
    }
}

impl fmt::Display for HotelClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Superior => "superior",
            Self::Luxury => "luxury",
        })
    }
}

/// What kind of thing is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A car of this class, by the day.
    Car(CarClass),
    /// A room in a hotel of this class, by the night.
    Hotel(HotelClass),
}

impl Kind {
    /// The word for it: `car` or `hotel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Car(_) => "car",
            Self::Hotel(_) => "hotel",
        }
    }

    /// The word for its class.
    #[must_use]
    pub fn class(self) -> String {
        match self {
            Self::Car(class) => class.to_string(),
            Self::Hotel(class) => class.to_string(),
        }
    }
}

/// Something that can be booked in a city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// What it is.
    pub kind: Kind,
    /// The model of a car, the name of a hotel.
    pub item: &'a str,
    /// How many can be booked for one day.
    pub units: u32,
    /// US cents for a day or night.
    pub price: u32,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    cities: Vec<City>,
    cars: Vec<Car>,
}

/// A city that can be travelled to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Its name.
    pub name: String,
    /// Its country: a code of ISO 3166-1.
    pub country: String,
    hotels: Vec<Hotel>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hotel {
    name: String,
    class: HotelClass,
    rooms: u32,
    price: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Car {
    model: String,
    class: CarClass,
    units: u32,
    price: u32,
}

impl Default for Inventory {
    /// The demo's.
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program, and a test reads it"
    )]
    fn default() -> Self {
        Self::read(include_str!("../data/inventory.toml")).expect("the demo's inventory is right")
    }
}

impl Inventory {
    /// Reads a file of what there is (TOML).
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The city with this name, in whatever case it is written.
    ///
    /// # Errors
    /// When there is none; the text names those that there are.
    pub fn city(&self, name: &str) -> Result<&City, String> {
        let wanted = name.trim().to_lowercase();
        let city = self.cities.iter().find(|city| city.name.to_lowercase() == wanted);
        city.ok_or_else(|| {
            let cities: Vec<_> = self.cities.iter().map(|city| city.name.as_str()).collect();
            format!(
                "nothing can be booked in {name:?}; the cities are {}",
                cities.join(", ")
            )
        })
    }

    /// All cities.
    pub fn cities(&self) -> impl Iterator<Item = &City> {
        self.cities.iter()
    }

    /// The cars of each city.
    pub fn cars(&self) -> impl Iterator<Item = Offer<'_>> {
        self.cars.iter().map(|car| Offer {
            kind: Kind::Car(car.class),
            item: &car.model,
            units: car.units,
            price: car.price,
        })
    }
}

impl City {
    /// The hotels here.
    pub fn hotels(&self) -> impl Iterator<Item = Offer<'_>> {
        self.hotels.iter().map(|hotel| Offer {
            kind: Kind::Hotel(hotel.class),
            item: &hotel.name,
            units: hotel.rooms,
            price: hotel.price,
        })
    }
}
