//! What an app calls: everything that the client does is reachable from here.

use landbridge::{Client, Event, FixedToken, store::ClientStore, wire::Jid};

/// Enlists and connects, says hello and waits for answers.
///
/// # Errors
/// Whatever goes wrong first, as text.
#[unsafe(no_mangle)]
pub fn landbridge_size_run(store: &str, token: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let client = Client::builder()
            .store(open(store)?)
            .endpoint("127.0.0.1:5222")
            .enlistment_url("https://127.0.0.1/3p/interop_reg")
            .token_source(FixedToken::new(token))
            .build()
            .map_err(text)?;
        let mut events = client.events();
        client.enlist("alice", 1).await.map_err(text)?;
        client.connect().await.map_err(text)?;
        let bob = Jid::user("14155551001");
        while let Some(event) = events.next().await {
            if let Event::Message(message) = event {
                client.send_text(&bob, message.text().unwrap_or_default()).await.map_err(text)?;
            }
        }
        Ok(())
    })
}

#[cfg(feature = "sqlite")]
fn open(path: &str) -> Result<impl ClientStore + 'static, String> {
    landbridge::store::SqliteStore::open(path).map_err(text)
}

/// Stands for the app's own.
#[cfg(not(feature = "sqlite"))]
fn open(_: &str) -> Result<impl ClientStore + 'static, String> {
    Ok(landbridge::store::MemoryStore::new())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
