//! The pizza shop, wherever it is docked.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    skydock::serve(pizza::PizzaShop::default).await
}
