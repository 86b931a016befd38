//! The program's own flags.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use skydock::{Error, Faults};

use crate::{inventory::Inventory, policy::Policies};

/// Whose bookings they are where nobody says who is calling.
pub(crate) const NOBODY: &str = "local";
const SQLITE: &str = "sqlite:";
const DYNAMODB: &str = "dynamodb://";
const MEMORY: &str = "memory";

/// Who has to ask the user before something is booked or cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Consent {
    /// This server asks. A client that cannot be asked books nothing.
    #[default]
    User,
    /// The program that calls asks, as the annotations of the tools tell it to; this server asks nobody.
    Host,
}

/// Where bookings are kept, and what they are held to.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Bookings")]
#[group(skip)]
pub struct Flags {
    /// Where bookings are kept: sqlite:FILE, dynamodb://TABLE, or memory [default: sqlite:~/.local/state/skydock/bookings.sqlite]
    #[arg(long, env = "SKYDOCK_STORE", value_name = "STORE")]
    pub store: Option<String>,
    /// A file with the travel policies; AcmeCorp's without it
    #[arg(long, env = "SKYDOCK_POLICIES", value_name = "FILE")]
    pub policies: Option<PathBuf>,
    /// A file with what can be booked; the demo's without it
    #[arg(long, env = "SKYDOCK_INVENTORY", value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Who asks the user before something is booked
    #[arg(long, env = "SKYDOCK_CONSENT", value_enum)]
    pub consent: Option<Consent>,
    /// Whose bookings they are where nobody says who is calling
    #[arg(long, env = "SKYDOCK_USER", value_name = "NAME")]
    pub user: Option<String>,
}

/// Where bookings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    /// A file of SQLite.
    File(PathBuf),
    /// A table of DynamoDB.
    Table(String),
}

/// What the flags say.
pub(crate) struct Chosen {
    pub(crate) place: Place,
    pub(crate) policies: Policies,
    pub(crate) inventory: Inventory,
    pub(crate) consent: Consent,
    pub(crate) user: String,
}

impl Flags {
    /// Reads what the user wrote; all that is wrong is told at once.
    pub(crate) fn read(&self) -> Result<Chosen, Error> {
        let mut faults = Faults::default();
        let policies = faults.take(read(
            "--policies (SKYDOCK_POLICIES)",
            self.policies.as_deref(),
            Policies::default,
            Policies::read,
        ));
        let inventory = faults.take(read(
            "--inventory (SKYDOCK_INVENTORY)",
            self.inventory.as_deref(),
            Inventory::default,
            Inventory::read,
        ));
        let place = faults.take(self.place());
        let (Some(policies), Some(inventory), Some(place)) = (policies, inventory, place) else {
            return Err(faults.into());
        };
        Ok(Chosen {
            place,
            policies,
            inventory,
            consent: self.consent.unwrap_or_default(),
            user: self.user.clone().unwrap_or_else(|| NOBODY.to_owned()),
        })
    }

    fn place(&self) -> Result<Place, Faults> {
        let flag = "--store (SKYDOCK_STORE)";
        let wanted = "write sqlite:FILE, dynamodb://TABLE or memory";
        let Some(store) = self.store.as_deref() else {
            let homeless = || {
                Faults::one(
                    flag,
                    "",
                    format!("there is no home directory to keep bookings in; {wanted}"),
                )
            };
            return skydock::state_file("bookings.sqlite")
                .map(Place::File)
                .ok_or_else(homeless);
        };
        let named = |scheme| store.strip_prefix(scheme).filter(|name: &&str| !name.is_empty());
        if store == MEMORY {
            Ok(Place::Memory)
        } else if let Some(file) = named(SQLITE) {
            Ok(Place::File(file.into()))
        } else if let Some(table) = named(DYNAMODB) {
            Ok(Place::Table(table.to_owned()))
        } else {
            Err(Faults::one(flag, store, wanted))
        }
    }
}

/// What a file says, or what holds without one.
fn read<T>(
    flag: &str,
    file: Option<&Path>,
    without: impl FnOnce() -> T,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Faults> {
    let Some(file) = file else { return Ok(without()) };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Faults::one(flag, &name, format!("cannot be read ({error})")))?;
    parse(&text).map_err(|fault| Faults::one(flag, &name, fault))
}
