//! Where a server keeps what outlives it.

use std::path::PathBuf;

use landbridge_partner::{KeyState, Partner, PartnerBuilder, PartnerConfig, PrivatePem};
use tempfile::TempDir;

use super::grown::{self, Engines};
use super::hosting::files;

/// A data directory and, in the grown mode, the engines that hold everything else than the operator's token.
pub(crate) struct Place {
    directory: TempDir,
    engines: Option<Engines>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let engines = if grown::is_wanted() { Some(Engines::new().await) } else { None };
        Self { directory: tempfile::tempdir().unwrap(), engines }
    }

    /// A server that keeps everything here.
    pub(crate) async fn builder(&self, config: PartnerConfig) -> PartnerBuilder {
        let data_dir = Some(self.directory.path().to_owned());
        let builder = Partner::builder(PartnerConfig { data_dir, ..config });
        match &self.engines {
            Some(engines) => engines.install(builder).await,
            None => builder,
        }
    }

    pub(crate) async fn start(&self, config: PartnerConfig) -> Partner {
        self.builder(config).await.start().await.unwrap()
    }

    /// A successor of a server that has ended; it needs a moment to let go of a database in a file.
    pub(crate) async fn restart(&self, config: PartnerConfig) -> Partner {
        loop {
            if let Ok(partner) = self.builder(config.clone()).await.start().await {
                return partner;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn is_grown(&self) -> bool {
        self.engines.is_some()
    }

    /// Takes away what rows are kept in.
    pub(crate) fn ruin(&self) {
        match &self.engines {
            Some(engines) => engines.drop_database(),
            None => std::fs::remove_dir_all(self.directory.path()).unwrap(),
        }
    }

    /// The operator's token of the server here.
    pub(crate) fn admin_token(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("admin-token")).unwrap()
    }

    /// What the bytes of objects and of uploads are called, with directories.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        let root = match &self.engines {
            Some(engines) => engines.objects(),
            None => self.directory.path().join("media"),
        };
        let names = files(&root).into_iter();
        names.map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
    }

    /// The private keys that lie here.
    pub(crate) async fn private_keys(&self) -> Vec<String> {
        match &self.engines {
            Some(engines) => {
                let KeyState { active, standby, retiring, times: _, web_push } = engines.keys().await;
                let kept = [active, standby, retiring, web_push].into_iter().flatten();
                kept.map(|pem: PrivatePem| pem.as_str().to_owned()).collect()
            }
            None => {
                let keys = files(&self.directory.path().join("keys")).into_iter();
                let pems = keys.filter(|path| path.extension().is_some_and(|extension| extension == "pem"));
                pems.map(|path| std::fs::read_to_string(path).unwrap()).collect()
            }
        }
    }

    /// What the streams of NATS hold.
    pub(crate) async fn messages(&self) -> Vec<String> {
        match &self.engines {
            Some(engines) => engines.messages().await,
            None => Vec::new(),
        }
    }

    /// What engines hold that others may read: name of the place, and the whole of it as text.
    pub(crate) async fn engines_say(&self) -> Vec<(&'static str, String)> {
        let Some(engines) = &self.engines else { return Vec::new() };
        let names: Vec<String> = self.blobs().iter().map(|path| path.display().to_string()).collect();
        let messages = engines.messages().await;
        vec![("database", engines.dump()), ("bucket", names.join("\n")), ("NATS", messages.join("\n"))]
    }
}
