//! From settings to a client, and from its errors to sentences.

use std::path::PathBuf;

use landbridge::media::{Files, HttpDownloader, HttpUploader, MediaError};
use landbridge::noise::{PinnedRoot, PublicKey};
use landbridge::store::{ClientStore, SqliteStore, StoreError};
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Direction, Error, HttpTokenSource, Reaction, TracedStanza};
use landbridge_stanza::Profile;

use super::file::note_outbox;
use super::settings::Settings;
use crate::failure::{Failure, with_causes};

/// Makes clients.
pub(super) struct Opener {
    pub(super) settings: Settings,
    pub(super) profile: Profile,
    pub(super) trace: bool,
}

impl Opener {
    /// Opens the store. The lock in it keeps a second command from using the account at the same time.
    pub(super) fn store(&self) -> Result<SqliteStore, Failure> {
        SqliteStore::open(self.database()).map_err(|error| store_failure(&error))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.settings.data.join("client.db")
    }

    /// The store of an account that is enlisted.
    pub(super) fn enlisted_store(&self) -> Result<SqliteStore, Failure> {
        if !self.database().exists() {
            return Err(self.no_account());
        }
        let mut store = self.store()?;
        self.check_account(&mut store)?;
        Ok(store)
    }

    /// Refuses commands that need an account where there is none, before anything is made or asked for.
    fn check_account(&self, store: &mut SqliteStore) -> Result<(), Failure> {
        let account = store.begin().and_then(|tx| tx.account()).map_err(|error| store_failure(&error))?;
        match account {
            Some(account) if account.enlistment.login().is_some() => Ok(()),
            _ => Err(self.no_account()),
        }
    }

    fn no_account(&self) -> Failure {
        let data = self.settings.data.display();
        Failure::runtime(format!(
            "there is no enlisted account in {data}; run `landbridge client enlist` first"
        ))
    }

    /// A client for an account that is enlisted.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let client = self.build(self.enlisted_store()?)?;
        // What waits in the outbox of files goes out with whatever connects.
        self.files(client.clone())?;
        Ok(client)
    }

    /// A client on a store.
    pub(super) fn build(&self, store: SqliteStore) -> Result<Client, Failure> {
        let remembered = &self.settings.remembered;
        let chat = self.settings.need(&remembered.chat, "--chat")?;
        let token_url = self.settings.need(&remembered.token_url, "--token-url")?;
        let session = self.settings.need(&remembered.session, "--session")?;
        let http = HttpClient::builder().build().map_err(|error| Failure::from_error(&error))?;
        let mut builder =
            Client::builder().store(store).profile(self.profile.clone()).endpoint(chat.clone()).token_source(
                HttpTokenSource::new(http, token_url.clone(), session)
                    .renew_before(self.profile.token.renew_before_s),
            );
        if let Some(url) = &remembered.enlist_url {
            builder = builder.enlistment_url(url.clone());
        }
        if let Some(key) = &remembered.root_key {
            builder = builder.trust(PinnedRoot::new(root_key(key)?));
        }
        if self.trace {
            builder = builder.trace(print_stanza);
        }
        builder.build().map_err(failure)
    }

    /// Sends and fetches files for a client.
    pub(super) fn files(&self, client: Client) -> Result<Files, Failure> {
        let remembered = &self.settings.remembered;
        let http = HttpClient::builder().build().map_err(|error| Failure::from_error(&error))?;
        let profile = &self.profile.media;
        let mut downloader = HttpDownloader::new(http.clone()).profile(profile);
        if let Some(url) = &remembered.media_url {
            downloader = downloader.base(url.trim_end_matches('/'));
        }
        let files = Files::new(client).downloader(downloader);
        let server = remembered.token_url.as_ref().and_then(|url| url.strip_suffix("/v1/token"));
        let Some(server) = remembered.upload_url.as_deref().or(server) else { return Ok(files) };
        let session = self.settings.need(&remembered.session, "--session")?;
        Ok(files.uploader(HttpUploader::new(http, server, session).profile(profile)))
    }

    /// A connected client.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        let client = self.client()?;
        note_outbox(&Files::new(client.clone())).await?;
        client.connect().await.map_err(failure)?;
        Ok(client)
    }
}

fn print_stanza(stanza: TracedStanza) {
    let arrow = match stanza.direction {
        Direction::Out => ">",
        Direction::In => "<",
    };
    eprintln!("{arrow} {} bytes {}", stanza.wire_bytes, stanza.xml);
}

fn root_key(text: &str) -> Result<PublicKey, Failure> {
    let bytes = hex::decode(text).ok().and_then(|bytes| PublicKey::from_slice(&bytes).ok());
    bytes.ok_or_else(|| Failure::usage("the --root-key is not 64 hex digits"))
}

/// A WhatsApp user as typed: a number, with or without a plus, or a whole address.
pub(super) fn user(text: &str) -> Result<Jid, Failure> {
    let number = text.strip_prefix('+').unwrap_or(text);
    if (5..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Jid::user(number));
    }
    match text.parse::<Jid>() {
        Ok(jid) if text.contains('@') && !jid.user_part().is_empty() => Ok(jid),
        _ => Err(Failure::usage(format!(
            "{text:?} is neither a phone number nor an address such as 14155551001@s.whatsapp.net"
        ))),
    }
}

/// What an error of the store means to the user.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    Failure::runtime(with_causes(error))
}

/// What an error about a file means to the user.
pub(super) fn file_failure(error: MediaError) -> Failure {
    match error {
        MediaError::Send { source } => failure(source),
        MediaError::Setup { what: "uploader" } => {
            Failure::usage("it is not known where files go; give --upload-url")
        }
        MediaError::Transfer { ref source } if source.is_temporary() => {
            Failure::from_error(&error).hint("try again later, and check the addresses")
        }
        error => Failure::from_error(&error),
    }
}

/// What an error of the client means to the user: what happened, and what to do.
pub(super) fn failure(error: Error) -> Failure {
    let sentence = error.chain();
    match (&error, error.reaction()) {
        (Error::Setup { .. } | Error::BadIdentity { .. }, _) => Failure::usage(sentence),
        (Error::OtherAccount, _) => {
            Failure::usage(sentence).hint("choose another --data, or delete that account first")
        }
        (Error::NoKeys { .. }, _) => Failure::runtime(sentence)
            .hint("check the number: there is no such user, or not one who can be reached from here"),
        (Error::Token { .. }, Reaction::AskUser) => {
            Failure::runtime(sentence).hint("give a --session that the partner's server knows")
        }
        (Error::HandedOver { .. }, _) => Failure::runtime(sentence)
            .hint("`landbridge client take-back` does that, if the exported file is not used"),
        (_, Reaction::Reenlist) => {
            Failure::runtime(sentence).hint("run `landbridge client enlist` again, it keeps your keys")
        }
        (_, Reaction::RetryAfter(wait)) if wait.as_secs() > 1 => {
            Failure::runtime(sentence).hint(&format!("try again in {} s", wait.as_secs()))
        }
        (_, Reaction::RetryAfter(_)) => Failure::runtime(sentence).hint("check the addresses and try again"),
        (_, Reaction::NewToken) => Failure::runtime(sentence).hint("try again, which fetches a new token"),
        (_, Reaction::AskUser) => {
            Failure::runtime(sentence).hint("the account is in use elsewhere; stop that one first")
        }
        (_, Reaction::FixRequest) => Failure::runtime(sentence).hint("change the command"),
        _ => Failure::runtime(sentence).hint("trying again will not help; --trace shows what was said"),
    }
}
