//! What an app calls, as in the peer's own example.

use whatsapp_rust::prelude::*;

/// Connects and answers messages.
///
/// # Errors
/// Whatever goes wrong first, as text.
#[unsafe(no_mangle)]
pub fn peer_size_run(store: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let bot = Bot::builder()
            .with_backend(SqliteStore::new(store).await.map_err(text)?)
            .on_qr_code(|_code, _timeout| async move {})
            .on_message(|ctx| async move {
                if let Some(text) = ctx.message.text_content() {
                    let _ = ctx.reply(text).await;
                }
            })
            .build()
            .await
            .map_err(text)?;
        bot.run().await;
        Ok(())
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
