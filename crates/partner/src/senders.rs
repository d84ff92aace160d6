//! From settings to senders.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landbridge_enlist::jwt::KeyError;
use landbridge_transport::HttpClient;
use landbridge_transport::http_client::{HttpError, Versions};
use thiserror::Error;

use crate::clock::Clock;
use crate::config::PartnerConfig;
use crate::key_files::{self, KeyFileError};
use crate::wake::{ApnsSender, Es256Key, Es256KeyError, FcmSender, WakeHub, WakeSender, WebPushSender};

/// What an exchange with a provider may take, in all.
const TOTAL: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);

/// A sender cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SenderError {
    /// The file of the service account.
    #[error("the FCM service account is not the JSON file that Google gives out")]
    ServiceAccount,
    /// The key in it.
    #[error("the key of the FCM service account cannot be used")]
    FcmKey(#[source] KeyError),
    /// A key file.
    #[error("a key of a push provider cannot be loaded")]
    File(#[source] KeyFileError),
    /// What is in it.
    #[error("the key file {} holds no usable key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Es256KeyError,
    },
    /// The HTTP client.
    #[error("no HTTP client could be made")]
    Http(#[source] HttpError),
}

/// All senders that are configured, and the public key that browsers subscribe with.
pub(crate) struct Senders {
    pub(crate) all: Vec<Arc<dyn WakeSender>>,
    pub(crate) web_push_key: Option<String>,
}

impl Senders {
    /// Reads the key files. Blocks.
    pub(crate) fn load(
        config: &PartnerConfig,
        web_push_key: Option<Es256Key>,
        hub: &Arc<WakeHub>,
        clock: &Clock,
    ) -> Result<Self, SenderError> {
        let mut all: Vec<Arc<dyn WakeSender>> = vec![Arc::clone(hub) as Arc<dyn WakeSender>];
        if let Some(fcm) = &config.fcm {
            let account = read_private(&fcm.service_account)?;
            all.push(Arc::new(FcmSender::new(&account, &fcm.url, client(Versions::Any)?, clock.clone())?));
        }
        if let Some(apns) = &config.apns {
            let pem = read_private(&apns.key)?;
            let key = Es256Key::from_pem(&pem)
                .map_err(|cause| SenderError::Key { path: apns.key.clone(), cause })?;
            all.push(Arc::new(ApnsSender::new(apns.clone(), key, client(Versions::Http2)?, clock.clone())));
        }
        let public = web_push_key.as_ref().map(Es256Key::public);
        if let (Some(web_push), Some(key)) = (&config.web_push, web_push_key) {
            all.push(Arc::new(WebPushSender::new(
                web_push.clone(),
                key,
                client(Versions::Any)?,
                clock.clone(),
            )));
        }
        Ok(Self { all, web_push_key: public })
    }
}

fn client(versions: Versions) -> Result<HttpClient, SenderError> {
    HttpClient::builder()
        .versions(versions)
        .connect_timeout(CONNECT)
        .total_timeout(TOTAL)
        .build()
        .map_err(SenderError::Http)
}

fn read_private(path: &Path) -> Result<zeroize::Zeroizing<String>, SenderError> {
    key_files::read_existing(path).map_err(SenderError::File)
}
