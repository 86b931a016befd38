//! An MCP server that books cars and hotels, within the travel policies of a company.
//!
//! [`Bookings`] is the server. The rooms, from the outside in: `tools` (what a model sees), [`policy`] (what may be
//! booked), [`inventory`] (what there is), [`store`] (what is booked).

mod flags;
pub mod inventory;
pub mod policy;
pub mod store;
mod tools;

use std::sync::Arc;

use jiff::civil::Date;
use rmcp::{RoleServer, handler::server::tool::ToolRouter, service::RequestContext};
use skydock::{Error, Principal};

pub use self::flags::{Consent, Flags};
use self::{
    flags::Place,
    inventory::Inventory,
    policy::Policies,
    store::{DynamoDb, Sqlite, Store},
};

/// The server. Clones share everything.
#[derive(Debug, Clone)]
pub struct Bookings {
    store: Arc<dyn Store>,
    inventory: Arc<Inventory>,
    policies: Arc<Policies>,
    consent: Consent,
    /// Who calls where nobody says who it is.
    user: Arc<str>,
    today: fn() -> Date,
    tools: ToolRouter<Self>,
}

impl Bookings {
    /// The server that the flags describe.
    ///
    /// # Errors
    /// When a file is not as it should be, or the store cannot be opened.
    pub async fn open(flags: &Flags) -> Result<Self, Error> {
        let chosen = flags.read()?;
        let store: Arc<dyn Store> = match &chosen.place {
            Place::Memory => Arc::new(Sqlite::in_memory().map_err(Error::handler)?),
            Place::File(file) => Arc::new(Sqlite::open(file).map_err(Error::handler)?),
            Place::Table(table) => Arc::new(DynamoDb::connect(table).await),
        };
        let server = Self::new(store, chosen.inventory, chosen.policies);
        Ok(Self {
            consent: chosen.consent,
            user: chosen.user.into(),
            ..server
        })
    }

    /// A server on `store`, which asks the user before it books.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, inventory: Inventory, policies: Policies) -> Self {
        Self {
            store,
            inventory: Arc::new(inventory),
            policies: Arc::new(policies),
            consent: Consent::User,
            user: flags::NOBODY.into(),
            today,
            tools: Self::tools(),
        }
    }

    /// The same on another day than today's.
    #[must_use]
    pub fn with_today(self, today: fn() -> Date) -> Self {
        Self { today, ..self }
    }

    /// The same for hosts that cannot be asked: they have to ask the user themselves.
    #[must_use]
    pub fn with_consent(self, consent: Consent) -> Self {
        Self { consent, ..self }
    }

    /// The same for this user, where nobody says who is calling.
    #[must_use]
    pub fn with_user(self, user: impl Into<Arc<str>>) -> Self {
        let user = user.into();
        Self { user, ..self }
    }

    /// Whose bookings these are.
    fn user(&self, context: &RequestContext<RoleServer>) -> String {
        principal(context)
            .map_or(&*self.user, Principal::as_str)
            .to_owned()
    }

    /// What the user is called, to be shown.
    fn called(&self, context: &RequestContext<RoleServer>) -> String {
        principal(context)
            .map_or(&*self.user, Principal::subject)
            .to_owned()
    }
}

/// Who is calling, where somebody has checked that.
fn principal(context: &RequestContext<RoleServer>) -> Option<&Principal> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get::<Principal>()
}

/// The day it is in UTC.
fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
