//! `landbridge client`: a partner's user on the command line.
//!
//! State lives in one directory: `client.db`, the store, and `client.toml`, the settings of the last enlistment, so that later commands
//! need no more than the directory.

mod chat;
mod commands;
mod file;
mod listen;
mod open;
mod portability;
mod save;
mod send;
mod settings;
mod trust;

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::Config;
use crate::failure::Failure;
use crate::shutdown::Shutdown;

/// What was typed.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Typed,
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// Print every stanza as XML to standard error: it names people, but holds no message text
    #[arg(long, global = true)]
    trace: bool,
    #[command(subcommand)]
    command: Command,
}

/// Settings as typed, or from the environment. Each is remembered from the last `enlist`.
#[derive(clap::Args)]
pub(crate) struct Typed {
    /// Where keys and messages are kept [default: landbridge-client]
    #[arg(long, global = true, value_name = "DIR", env = "LANDBRIDGE_CLIENT_DATA")]
    data: Option<PathBuf>,
    /// The chat server, host:port
    #[arg(long, global = true, value_name = "ADDR", env = "LANDBRIDGE_CLIENT_CHAT")]
    chat: Option<String>,
    /// Where enlistment requests go [default: WhatsApp's]
    #[arg(long, global = true, value_name = "URL", env = "LANDBRIDGE_CLIENT_ENLIST_URL")]
    enlist_url: Option<String>,
    /// The root key that the chat server's certificate must lead to, 64 hex digits [default: WhatsApp's]
    #[arg(long, global = true, value_name = "HEX", env = "LANDBRIDGE_CLIENT_ROOT_KEY")]
    root_key: Option<String>,
    /// Where the partner's server gives identity tokens, such as https://partner.example/v1/token
    #[arg(long, global = true, value_name = "URL", env = "LANDBRIDGE_CLIENT_TOKEN_URL")]
    token_url: Option<String>,
    /// Where files go, such as https://partner.example [default: the server of --token-url, if that ends in /v1/token]
    #[arg(long, global = true, value_name = "URL", env = "LANDBRIDGE_CLIENT_UPLOAD_URL")]
    upload_url: Option<String>,
    /// Where files come from [default: WhatsApp's media server]
    #[arg(long, global = true, value_name = "URL", env = "LANDBRIDGE_CLIENT_MEDIA_URL")]
    media_url: Option<String>,
    /// The user's session token at the partner's server
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "LANDBRIDGE_CLIENT_SESSION",
        hide_env_values = true
    )]
    session: Option<String>,
    /// The user's name as WhatsApp users see it, 1 to 40 characters
    #[arg(long, global = true, value_name = "NAME", env = "LANDBRIDGE_CLIENT_IDENTIFIER")]
    identifier: Option<String>,
    /// The partner's integrator id, 1 to 999
    #[arg(long, global = true, value_name = "ID", env = "LANDBRIDGE_CLIENT_INTEGRATOR")]
    integrator: Option<u16>,
}

#[derive(Subcommand)]
enum Command {
    /// Make the user known at WhatsApp, or change the settings that later commands use
    Enlist,
    /// Connect, log in and measure a round trip
    Ping,
    /// Show the state of the own keys, or fetch and check those of a user
    Keys(commands::Keys),
    /// Send a text or a file and wait until it has got as far as asked
    Send(send::Send),
    /// Answer a message of either side with a text
    Reply(chat::Reply),
    /// React to a message of either side with one emoji
    React(chat::React),
    /// Take the own reaction to a message back
    Unreact(chat::About),
    /// Take an own message back, for both sides
    Revoke(chat::About),
    /// Replace the text of an own message, for both sides
    Edit(chat::Edit),
    /// Say that messages were read, or played
    Read(chat::Read),
    /// Show the peer that the user writes
    Typing(chat::Typing),
    /// Print a message of either side as it is now, with its reactions and what it answers
    Show(chat::About),
    /// Print messages and what is done to them as they come, until Ctrl-C
    Listen(listen::Listen),
    /// Print the safety number with a user, to be compared with what their app shows
    SafetyNumber(commands::Peer),
    /// Compare a user's safety number, and note that the user is verified
    Verify(trust::Verify),
    /// Take the note back that a user is verified
    Unverify(commands::Peer),
    /// Accept the new identity of a user: messages that were held go out
    Accept(commands::Peer),
    /// Block a user
    Block(commands::Peer),
    /// Take a block back
    Unblock(commands::Peer),
    /// Print the blocked users
    Blocklist,
    /// Delete the account at WhatsApp and its keys here; messages stay
    Delete,
    /// Write the account, encrypted, into a file for another device; this one is locked from then on
    Export(portability::Export),
    /// Make the account of an exported file the one of a new data directory
    Import(portability::Import),
    /// Use an account again that was exported, for the file is not used; sessions are begun anew
    TakeBack,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Json,
}

pub(crate) async fn run(args: Args, config: Config) -> Result<(), Failure> {
    let settings = settings::resolve(args.settings, config.client)?;
    let session = open::Opener { settings, profile: config.profile, trace: args.trace };
    let style = if args.json { Style::Json } else { Style::Text };
    let mut shutdown = Shutdown::listen()?;
    if let Command::Listen(listen) = args.command {
        return listen::run(listen, &session, style, shutdown).await;
    }
    let work = async {
        match args.command {
            Command::Enlist => commands::enlist(&session, style).await,
            Command::Ping => commands::ping(&session, style).await,
            Command::Keys(keys) => commands::keys(keys, &session, style).await,
            Command::Send(send) => send::run(send, &session, style).await,
            Command::SafetyNumber(peer) => trust::safety_number(&peer, &session, style).await,
            Command::Verify(verify) => trust::verify(&verify, &session, style).await,
            Command::Unverify(peer) => trust::unverify(&peer, &session, style).await,
            Command::Accept(peer) => trust::accept(&peer, &session, style).await,
            Command::Reply(reply) => chat::reply(reply, &session, style).await,
            Command::React(react) => chat::react(react, &session, style).await,
            Command::Unreact(about) => chat::unreact(about, &session, style).await,
            Command::Revoke(about) => chat::revoke(about, &session, style).await,
            Command::Edit(edit) => chat::edit(edit, &session, style).await,
            Command::Read(read) => chat::read(read, &session, style).await,
            Command::Typing(typing) => chat::typing(typing, &session, style).await,
            Command::Show(about) => chat::show(about, &session, style).await,
            Command::Block(peer) => commands::block(&peer, &session, style).await,
            Command::Unblock(peer) => commands::unblock(&peer, &session, style).await,
            Command::Blocklist => commands::blocklist(&session, style).await,
            Command::Delete => commands::delete(&session, style).await,
            Command::Export(export) => portability::export(&export, &session, style),
            Command::Import(import) => portability::import(&import, &session, style),
            Command::TakeBack => portability::take_back(&session, style),
            Command::Listen(_) => Ok(()),
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = shutdown.requested() => Err(Failure::runtime("interrupted; what is in the outbox goes on with the next command that connects, such as `landbridge client listen`; repeat any other command")),
    }
}
