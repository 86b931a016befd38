//! Where sessions are to be kept: the value of `--sessions`.

use std::{fmt, str::FromStr, sync::Arc};

#[cfg(feature = "dynamodb")]
use super::dynamodb::DynamoDb;
#[cfg(feature = "valkey")]
use super::valkey::Valkey;
#[cfg(any(feature = "dynamodb", feature = "valkey"))]
use super::{Failure, distant::Distant};
use super::{Memory, Store};

const VALKEY: [&str; 4] = ["valkey://", "valkeys://", "redis://", "rediss://"];
const DYNAMODB: &str = "dynamodb://";

/// What is wrong with a value, and what was wanted instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?}: {wanted}")]
pub(crate) struct Wrong {
    /// The value, without its password.
    pub(crate) value: String,
    pub(crate) wanted: String,
}

/// A place for sessions.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// This process; the default.
    #[default]
    Memory,
    /// A table of DynamoDB.
    #[cfg(feature = "dynamodb")]
    DynamoDb { table: String },
    /// A server or cluster; the URL may have a password in it.
    #[cfg(feature = "valkey")]
    Valkey { url: String },
}

impl Place {
    /// Whether what is kept there is this process's alone.
    pub(crate) const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// The store at this place, with room for so many records if that is memory. Nothing is connected to before
    /// something is asked of it.
    pub(crate) fn store(&self, places: usize) -> Arc<dyn Store> {
        match self {
            Self::Memory => Arc::new(Memory::new(places)),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { .. } => Arc::new(Distant::new(self.clone(), super::dynamodb::LIMIT)),
            #[cfg(feature = "valkey")]
            Self::Valkey { .. } => Arc::new(Distant::new(self.clone(), super::valkey::LIMIT)),
        }
    }

    /// The store at this place, which other instances share.
    #[cfg(any(feature = "dynamodb", feature = "valkey"))]
    pub(super) async fn connect(&self) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Memory => Err(Failure::unavailable("memory is nowhere else")),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table } => Ok(Arc::new(DynamoDb::connect(table).await)),
            #[cfg(feature = "valkey")]
            Self::Valkey { url } => {
                let valkey = Valkey::open(url).map_err(Failure::unavailable)?;
                Ok(Arc::new(valkey))
            }
        }
    }
}

impl FromStr for Place {
    type Err = Wrong;

    fn from_str(value: &str) -> Result<Self, Wrong> {
        let place = if value == "memory" {
            Ok(Self::Memory)
        } else if let Some(table) = value.strip_prefix(DYNAMODB) {
            dynamodb(table)
        } else if VALKEY.iter().any(|scheme| value.starts_with(scheme)) {
            valkey(value)
        } else {
            Err("wanted memory, dynamodb://TABLE, valkey://HOST:PORT or valkeys://HOST:PORT".to_owned())
        };
        place.map_err(|wanted| Wrong {
            value: hidden(value),
            wanted,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table } => write!(f, "{DYNAMODB}{table}"),
            #[cfg(feature = "valkey")]
            Self::Valkey { url } => f.write_str(&hidden(url)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
#[cfg(feature = "dynamodb")]
fn dynamodb(table: &str) -> Result<Place, String> {
    let letters = table
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !letters || !(3..=255).contains(&table.len()) {
        return Err(
            "after dynamodb:// there must be a table's name: 3 to 255 of a-z A-Z 0-9 _ - .".to_owned(),
        );
    }
    Ok(Place::DynamoDb {
        table: table.to_owned(),
    })
}

#[cfg(not(feature = "dynamodb"))]
fn dynamodb(_table: &str) -> Result<Place, String> {
    Err("this program was built without DynamoDB; build it with the feature `dynamodb`".to_owned())
}

#[cfg(feature = "valkey")]
fn valkey(url: &str) -> Result<Place, String> {
    Valkey::open(url)?;
    Ok(Place::Valkey { url: url.to_owned() })
}

#[cfg(not(feature = "valkey"))]
fn valkey(_url: &str) -> Result<Place, String> {
    Err("this program was built without Valkey; build it with the feature `valkey`".to_owned())
}

/// The value without the password, also when it is so wrong that nobody can tell where the password ends.
fn hidden(value: &str) -> String {
    let Some((secret, rest)) = value.rsplit_once('@') else {
        return value.to_owned();
    };
    let start = secret.find("://").map_or(0, |at| at + "://".len());
    let (scheme, secret) = secret.split_at(start);
    let user = secret.split_once(':').map_or("", |(user, _)| user);
    format!("{scheme}{user}:***@{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(value: &str) -> String {
        value.parse::<Place>().unwrap_err().to_string()
    }

    #[test]
    fn memory_is_the_default() {
        assert_eq!("memory".parse(), Ok(Place::Memory));
        assert_eq!(Place::default(), Place::Memory);
        assert_eq!(Place::Memory.to_string(), "memory");
    }

    #[test]
    fn an_unknown_place_is_named_with_those_there_are() {
        for value in [
            "",
            "Memory",
            "disk",
            "dynamodb:sessions",
            "file:///tmp",
            "valkeys//host",
        ] {
            let wrong = wrong(value);
            assert!(
                wrong.starts_with(&format!("{value:?}: wanted memory, dynamodb://TABLE, valkey://")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (value, shown) in [
            ("valkeys://user:geheim@host:1", "valkeys://user:***@host:1"),
            ("valkeys://:geheim@host", "valkeys://:***@host"),
            (
                "valkeys://u:geh/eim@x@host/?cluster=true",
                "valkeys://u:***@host/?cluster=true",
            ),
            ("valkey//user:geheim@host", "valkey//user:***@host"),
            ("user:geheim@host", "user:***@host"),
            ("valkeys://geheim@host", "valkeys://:***@host"),
            ("valkeys://host:1", "valkeys://host:1"),
        ] {
            assert_eq!(hidden(value), shown);
        }
        assert!(!wrong("disk://user:geheim@host").contains("geheim"));
    }

    #[cfg(feature = "dynamodb")]
    #[test]
    fn a_table_has_a_name_that_it_can_have() {
        let place: Place = "dynamodb://my-sessions_1.x".parse().unwrap();
        assert_eq!(place.to_string(), "dynamodb://my-sessions_1.x");
        for table in ["", "ab", "two words", "a/b/c", "tisch-ä", &"x".repeat(256)] {
            assert!(
                wrong(&format!("dynamodb://{table}")).contains("table's name"),
                "{table}"
            );
        }
    }

    #[cfg(feature = "valkey")]
    #[tokio::test]
    async fn a_server_is_named_by_a_url() {
        for url in [
            "valkey://127.0.0.1",
            "valkey://127.0.0.1:7000/2",
            "valkeys://user:p%40ss@cache.example:6379/?cluster=true",
            "valkeys://[::1]:6379?cluster=false",
            "redis://host",
            "rediss://:pass@host",
        ] {
            let place: Place = url.parse().unwrap();
            let shown = format!("{place} {place:?} {:?}", place.store(1));
            assert!(!shown.contains("pass") && !shown.contains("p%40ss"), "{shown}");
        }
    }

    #[cfg(feature = "valkey")]
    #[test]
    fn a_url_that_leads_nowhere_is_told_from_one_that_does() {
        for (url, wanted) in [
            ("valkey://", "wanted valkeys://USER:PASSWORD@HOST:PORT"),
            ("valkey://host:port", "wanted valkeys://USER:PASSWORD@HOST:PORT"),
            ("valkey://host/one", "wanted valkeys://USER:PASSWORD@HOST:PORT"),
            (
                "valkeys://u:geheim@host:x",
                "wanted valkeys://USER:PASSWORD@HOST:PORT",
            ),
            (
                "valkeys://u:geheim@host?cluster=yes",
                "`cluster=true`, and nothing else",
            ),
            (
                "valkeys://u:geheim@host?protocol=resp3",
                "`cluster=true`, and nothing else",
            ),
            ("valkeys://u:geheim@host/#insecure", "there must be no `#`"),
        ] {
            let wrong = wrong(url);
            assert!(wrong.contains(wanted) && !wrong.contains("geheim"), "{wrong}");
        }
    }

    #[cfg(not(feature = "dynamodb"))]
    #[test]
    fn a_build_without_dynamodb_says_so() {
        assert!(wrong("dynamodb://sessions").contains("build it with the feature `dynamodb`"));
    }

    #[cfg(not(feature = "valkey"))]
    #[test]
    fn a_build_without_valkey_says_so() {
        assert!(wrong("valkeys://host").contains("build it with the feature `valkey`"));
    }
}
