//! What the client commands need to know, and where they remember it.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Typed;
use crate::config::ClientSection;
use crate::failure::Failure;
use crate::private_dir;

const FILE: &str = "client.toml";

/// The settings in force.
pub(super) struct Settings {
    pub(super) data: PathBuf,
    pub(super) remembered: Remembered,
}

/// What the data directory remembers. Written by `enlist`, private to its owner since the session token is in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    pub(super) chat: Option<String>,
    pub(super) enlist_url: Option<String>,
    pub(super) root_key: Option<String>,
    pub(super) token_url: Option<String>,
    pub(super) upload_url: Option<String>,
    pub(super) media_url: Option<String>,
    pub(super) session: Option<String>,
    pub(super) identifier: Option<String>,
    pub(super) integrator: Option<u16>,
}

/// Flags and environment over the configuration file over what is remembered.
pub(super) fn resolve(typed: Typed, file: ClientSection) -> Result<Settings, Failure> {
    let data = typed.data.or(file.data).unwrap_or_else(|| PathBuf::from("landbridge-client"));
    let memory = read(&data.join(FILE))?;
    let remembered = Remembered {
        chat: typed.chat.or(file.chat).or(memory.chat),
        enlist_url: typed.enlist_url.or(file.enlist_url).or(memory.enlist_url),
        root_key: typed.root_key.or(file.root_key).or(memory.root_key),
        token_url: typed.token_url.or(file.token_url).or(memory.token_url),
        upload_url: typed.upload_url.or(file.upload_url).or(memory.upload_url),
        media_url: typed.media_url.or(file.media_url).or(memory.media_url),
        session: typed.session.or(file.session).or(memory.session),
        identifier: typed.identifier.or(file.identifier).or(memory.identifier),
        integrator: typed.integrator.or(file.integrator).or(memory.integrator),
    };
    Ok(Settings { data, remembered })
}

fn read(path: &Path) -> Result<Remembered, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let message = error.message().to_owned();
            Failure::usage(format!(
                "{} does not parse: {message}; remove it and enlist again",
                path.display()
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Remembered::default()),
        Err(error) => Err(Failure::runtime(format!("{} cannot be read: {error}", path.display()))),
    }
}

impl Settings {
    /// A setting that the command cannot do without.
    pub(super) fn need<'a, T>(&self, value: &'a Option<T>, flag: &str) -> Result<&'a T, Failure> {
        value.as_ref().ok_or_else(|| {
            Failure::usage(format!(
                "{flag} is needed: give it once to `landbridge client enlist`, which remembers it"
            ))
        })
    }

    /// Makes the data directory, readable by its owner alone.
    pub(super) fn make_directory(&self) -> Result<(), Failure> {
        private_dir::make(&self.data).map_err(|error| {
            Failure::runtime(format!("the directory {} cannot be made: {error}", self.data.display()))
        })
    }

    /// Remembers the settings for later commands. The file is replaced as a whole or not at all.
    pub(super) fn remember(&self) -> Result<(), Failure> {
        let path = self.data.join(FILE);
        let temporary = self.data.join(format!("{FILE}.new"));
        let text = toml::to_string(&self.remembered)?;
        let written = write_private(&temporary, &text).and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|error| Failure::runtime(format!("{} cannot be written: {error}", path.display())))
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
