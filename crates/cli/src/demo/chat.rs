//! `--interactive`: a chat between Alice and a test phone in one terminal.

use landbridge::{Error, Event};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::world::{INTEGRATOR, PHONE, USER, World};
use crate::failure::{Failure, with_causes};
use crate::output;

const HELP: &str = "\
Type a line to send it as Alice. A line that begins with > is sent by the phone.
  /block, /unblock   block or unblock the phone
  /keys              Alice's view of the phone's identity key
  /quit              leave (or Ctrl-D, Ctrl-C)";

pub(super) async fn run(world: &mut World) -> Result<(), Failure> {
    let address = world.client.enlist(USER, INTEGRATOR).await.map_err(failed)?;
    world.handle().create_phone(PHONE, "Joe")?;
    world.client.connect().await.map_err(failed)?;
    output::line(&format!("\nAlice is {address}; the phone is {}.\n{HELP}\n", world.phone()))?;
    world.address = Some(address);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if line.trim() == "/quit" => return Ok(()),
                Some(line) => if let Err(sentence) = obey(world, line.trim()).await {
                    output::line(&format!("  !  {sentence}"))?;
                },
                None => return Ok(()),
            },
            event = world.events.next() => match event {
                Some(event) => show(&event)?,
                None => return Ok(()),
            },
        }
    }
}

async fn obey(world: &World, line: &str) -> Result<(), String> {
    let phone = world.phone();
    match line {
        "" => Ok(()),
        "/block" => world.client.block(&phone).await.map_err(|error| error.chain()),
        "/unblock" => world.client.unblock(&phone).await.map_err(|error| error.chain()),
        "/keys" => {
            let keys = world.client.fetch_keys(&phone).await.map_err(|error| error.chain())?;
            output::line(&format!("  identity {}", hex::encode(keys.identity.as_bytes())))
                .map_err(|failure| failure.sentence().to_owned())
        }
        "/help" => output::line(HELP).map_err(|failure| failure.sentence().to_owned()),
        line if line.starts_with('/') => Err(format!("{line} is no command; /help lists them")),
        line => match line.strip_prefix('>') {
            Some(text) => {
                let sent = world.handle().phone_send_text(PHONE, &world.address_text(), text.trim());
                sent.map(|_| ()).map_err(|error| with_causes(&error))
            }
            None => world.client.send_text(&phone, line).await.map(|_| ()).map_err(|error| error.chain()),
        },
    }
}

fn show(event: &Event) -> Result<(), Failure> {
    match event {
        Event::Message(message) => {
            let name = message.notify.as_deref().unwrap_or("phone");
            output::line(&format!(
                "  {name}: {}",
                message.text().unwrap_or("[something that this chat cannot show]")
            ))
        }
        Event::MessageState { id, state, .. } => {
            output::line(&format!("       {id} is {}", format!("{state:?}").to_lowercase()))
        }
        Event::IdentityChanged { peer, .. } => {
            output::line(&format!("  The security code of {peer} changed."))
        }
        Event::Disconnected { ending, .. } => output::line(&format!("  disconnected: {ending}")),
        _ => Ok(()),
    }
}

fn failed(error: Error) -> Failure {
    Failure::runtime(error.chain())
}
