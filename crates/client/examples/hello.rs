//! Says hello and prints what comes back. `landbridge sandbox` prints the values of the variables.

use landbridge::{Client, Event, FixedToken, store::SqliteStore, wire::Jid};
use std::env::var;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder()
        .store(SqliteStore::open("alice.db")?)
        .endpoint(var("LANDBRIDGE_CHAT")?)
        .enlistment_url(var("LANDBRIDGE_ENLIST")?)
        .root_key(var("LANDBRIDGE_ROOT_KEY")?)
        .token_source(FixedToken::new(var("LANDBRIDGE_TOKEN")?))
        .build()?;
    let mut events = client.events();
    client.enlist("alice", 1).await?;
    client.connect().await?;
    client.send_text(&Jid::user("14155551001"), "Hello from the other side").await?;
    while let Some(event) = events.next().await {
        if let Event::Message(message) = event {
            println!("{}: {}", message.sender, message.text().unwrap_or_default());
        }
    }
    Ok(())
}
