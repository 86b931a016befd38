//! Which day it is, so that "days left" can be tested.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Where the day comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The system's clock, in UTC.
    #[default]
    System,
    /// Always this day.
    Fixed(Date),
}

impl Clock {
    /// The day it is.
    #[must_use]
    pub fn today(self) -> Date {
        match self {
            Self::System => today_in_utc(),
            Self::Fixed(day) => day,
        }
    }
}

pub(crate) fn today_in_utc() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
