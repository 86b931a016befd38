//! A client with a user who is asked.

use std::sync::{Arc, Mutex};

use bookings::{Bookings, inventory::Inventory, policy::Policies, store::Sqlite};
use jiff::civil::{Date, date};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt as _,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
        ElicitationAction, Implementation, ProtocolVersion,
    },
    service::{RequestContext, RunningService},
};
use serde_json::{Value, json};
use skydock::Host;

/// Whoever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Agrees,
    /// Sends the form back without agreeing.
    Disagrees,
    Declines,
    /// The client has no way to ask.
    OutOfReach,
}

struct Asked {
    user: User,
    questions: Arc<Mutex<Vec<String>>>,
}

impl ClientHandler for Asked {
    fn get_info(&self) -> ClientConfig {
        let capabilities = match self.user {
            User::OutOfReach => ClientCapabilities::default(),
            _ => ClientCapabilities::builder().enable_elicitation().build(),
        };
        let mut info = ClientConfig::new(capabilities, Implementation::new("test", "1"));
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn create_elicitation(
        &self,
        question: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = question else {
            panic!("not a form")
        };
        self.questions.lock().unwrap().push(message);
        let action = match self.user {
            User::Declines => ElicitationAction::Decline,
            _ => ElicitationAction::Accept,
        };
        let mut answer = ElicitResult::new(action);
        answer.content = Some(json!({ "agree": self.user == User::Agrees }));
        Ok(answer)
    }
}

/// The day it is in the tests: a Friday.
pub(crate) const fn today() -> Date {
    date(2026, 11, 27)
}

pub(crate) fn server() -> Bookings {
    let store = Arc::new(Sqlite::in_memory().unwrap());
    Bookings::new(store, Inventory::default(), Policies::default()).with_today(today)
}

/// A connected client.
pub(crate) struct Client {
    service: RunningService<RoleClient, Asked>,
    questions: Arc<Mutex<Vec<String>>>,
}

impl Client {
    pub(crate) async fn of(server: &Bookings, user: User) -> Self {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = server.clone();
        tokio::spawn(async move { Host::new(server).serve(far).await.unwrap() });
        let questions = Arc::default();
        let asked = Asked {
            user,
            questions: Arc::clone(&questions),
        };
        let service = asked.serve(near).await.unwrap();
        Self { service, questions }
    }

    /// What the user was asked so far.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }

    /// What a tool answers: its structured content, or the words of its refusal.
    pub(crate) async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value, String> {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object")
        };
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.service.call_tool(params).await.unwrap();
        if result.is_error == Some(true) {
            let words = result.content.iter().filter_map(|content| content.as_text());
            return Err(words.map(|words| words.text.as_str()).collect());
        }
        Ok(result.structured_content.unwrap())
    }
}

/// An order of a sedan in Dallas that policies allow.
pub(crate) fn sedan() -> Value {
    json!({"city": "Dallas", "start": "2026-11-30", "days": 3, "class": "sedan", "purpose": "business"})
}
