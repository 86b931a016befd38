//! A pizza shop that an assistant can order from: a resource template, a tool and a prompt. Read it top to bottom.

use std::sync::atomic::{AtomicU32, Ordering};

use rmcp::{
    ErrorData, Json, RoleServer, ServerHandler,
    handler::server::{
        router::{prompt::PromptRouter, tool::ToolRouter},
        wrapper::Parameters,
    },
    model::{
        Implementation, ListResourceTemplatesResult, PaginatedRequestParams, PromptMessage,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents,
        ResourceTemplate, Role, ServerCapabilities, ServerConfig,
    },
    prompt, prompt_handler, prompt_router,
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skydock::{Answer, Ask};

// ── The shop ────────────────────────────────────────────────────────────────────────────────────────────────────

/// A pizza, and what it costs in cents.
type Pizza = (&'static str, u32);

/// The shops, and what they bake.
const SHOPS: [(&str, &[Pizza]); 2] = [
    (
        "napoli",
        &[("margherita", 900), ("marinara", 800), ("diavola", 1150)],
    ),
    ("roma", &[("bianca", 850), ("capricciosa", 1250)]),
];

fn menu(shop_id: &str) -> Option<&'static [Pizza]> {
    SHOPS.iter().find(|(id, _)| *id == shop_id).map(|(_, menu)| *menu)
}

// ── What goes in and out of the tool: the types are the schemas, the comments are the descriptions ──────────────

/// An order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The shop, such as `napoli`; the resource `menu://{shop_id}` says what it bakes.
    pub shop_id: String,
    /// The pizza, as the menu calls it.
    pub pizza: String,
    /// How many; one unless said otherwise.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub quantity: u32,
    /// Where to bring it. The user is asked when it is missing.
    pub address: Option<String>,
}

fn one() -> u32 {
    1
}

/// What the shop promises.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The number of the order.
    pub order: u32,
    /// What is being baked.
    pub pizza: String,
    /// How many.
    pub quantity: u32,
    /// Where it goes.
    pub address: String,
    /// What it costs, in cents.
    pub total_cents: u32,
}

/// The form that asks for the address.
#[derive(Debug, Deserialize, JsonSchema)]
struct Delivery {
    /// Street and number.
    address: String,
}
rmcp::elicit_safe!(Delivery);

// ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────

/// The server. It is built once; the routers that the macros write are kept, because building them costs more than
/// a call.
#[derive(Debug)]
pub struct PizzaShop {
    orders: AtomicU32,
    tools: ToolRouter<Self>,
    prompts: PromptRouter<Self>,
}

impl Default for PizzaShop {
    fn default() -> Self {
        Self {
            orders: AtomicU32::new(0),
            tools: Self::tool_router(),
            prompts: Self::prompt_router(),
        }
    }
}

#[tool_router]
impl PizzaShop {
    /// Orders a pizza. An `Err` is a text that the model reads, so it says how to do better.
    #[tool(
        name = "order-pizza",
        title = "Order a pizza",
        description = "Orders pizza from a shop and returns the receipt. Read menu://{shop_id} first to see what the \
                       shop bakes. Leave the address out to let the user type it.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn order_pizza(
        &self,
        Parameters(order): Parameters<Order>,
        ask: Ask,
    ) -> Result<Json<Receipt>, String> {
        let Order {
            shop_id,
            pizza,
            quantity,
            address,
        } = order;
        let menu = menu(&shop_id).ok_or_else(|| format!("no shop {shop_id:?}; there are napoli and roma"))?;
        let (pizza, price) = menu
            .iter()
            .find(|(name, _)| *name == pizza)
            .ok_or_else(|| format!("{shop_id} bakes no {pizza:?}; read menu://{shop_id}"))?;
        if !(1..=20).contains(&quantity) {
            return Err(format!("quantity is {quantity}; order 1 to 20"));
        }

        // Ask first, act afterwards: the tool may run again from the top when the answer is there.
        let address = match address {
            Some(address) => address,
            None => match ask.form::<Delivery>("delivery", "Where shall we bring it?").await {
                Ok(Answer::Accepted(delivery)) => delivery.address,
                Ok(Answer::Declined | Answer::Cancelled) => {
                    return Err("the user gave no address; nothing was ordered".to_owned());
                }
                Err(error) => return Err(format!("{error}; ask the user for the address and pass it")),
            },
        };

        let order = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Json(Receipt {
            order,
            pizza: (*pizza).to_owned(),
            quantity,
            address,
            total_cents: price * quantity,
        }))
    }
}

#[prompt_router]
#[expect(
    missing_docs,
    reason = "the macro writes a public function beside each prompt"
)]
impl PizzaShop {
    /// A prompt is what the user picks from a menu: here, the order that is always the same.
    #[prompt(
        name = "get-my-usual",
        title = "Get my usual",
        description = "Orders what you always have."
    )]
    async fn get_my_usual(&self) -> Vec<PromptMessage> {
        let text = "Order my usual: one margherita from the shop napoli. Tell me what it costs.";
        vec![PromptMessage::new_text(Role::User, text)]
    }
}

#[tool_handler(router = self.tools)]
#[prompt_handler(router = self.prompts)]
impl ServerHandler for PizzaShop {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("pizza", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "Read menu://{shop_id} for the shops napoli and roma, then order with order-pizza.",
            )
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let menu = ResourceTemplate::new("menu://{shop_id}", "menu")
            .with_description("What a shop bakes, and what it costs in cents.")
            .with_mime_type("text/plain");
        Ok(ListResourceTemplatesResult::with_all_items(vec![menu]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let shop = request.uri.strip_prefix("menu://").and_then(menu);
        let Some(menu) = shop else {
            let data = serde_json::json!({ "uri": request.uri });
            return Err(ErrorData::resource_not_found(
                "no such menu; there are menu://napoli and menu://roma",
                Some(data),
            ));
        };
        let lines: Vec<_> = menu
            .iter()
            .map(|(pizza, cents)| format!("{pizza}: {cents}"))
            .collect();
        Ok(ReadResourceResult::new(vec![ResourceContents::text(lines.join("\n"), request.uri)]).into())
    }
}
