//! The engines of a partner server that has grown: from settings to the parts that it is built of.

mod flags;

use std::sync::Arc;

use landbridge_engines::{
    NatsConfig, NatsSwitchboard, ObjectBlobs, ObjectsConfig, PostgresConfig, PostgresKeys, PostgresStore,
    SealKey,
};
use landbridge_partner::PartnerBuilder;

use crate::config::PartnerSection;
use crate::failure::Failure;

pub(crate) use flags::Flags;

/// What is to be used in place of the data directory.
pub(crate) struct Engines {
    postgres: Option<PostgresConfig>,
    objects: Option<ObjectsConfig>,
    nats: Option<NatsConfig>,
}

impl Engines {
    /// Flags and environment over the file.
    pub(crate) fn resolve(flags: Flags, file: &PartnerSection) -> Result<Self, Failure> {
        flags.over(file)
    }

    /// Connects to the engines and gives them to the server.
    pub(crate) async fn install(self, mut builder: PartnerBuilder) -> Result<PartnerBuilder, Failure> {
        if let Some(config) = self.postgres {
            builder = postgres(builder, &config).await?;
        }
        if let Some(config) = self.objects {
            let blobs = ObjectBlobs::open(&config)?;
            if let Err(unusable) = blobs.check().await {
                // Tokens and pushes do without it.
                let cause = &unusable as &dyn std::error::Error;
                tracing::error!(cause, "the object store cannot be used now: files are put off");
            }
            builder = builder.blobs(Arc::new(blobs));
        }
        if let Some(config) = self.nats {
            builder = builder.switchboard(Arc::new(NatsSwitchboard::new(config).await?));
        }
        Ok(builder)
    }
}

async fn postgres(builder: PartnerBuilder, config: &PostgresConfig) -> Result<PartnerBuilder, Failure> {
    // Servers that share rows and not keys would publish different ones.
    let seal = config.seal_key_file.as_deref().ok_or_else(|| {
        Failure::usage("a database needs --seal-key-file: the signing keys are in it, sealed").hint(
            "openssl rand -base64 32 > seal.key && chmod 600 seal.key, and the same file for every server",
        )
    })?;
    let seal = SealKey::read(seal)?;
    let store = PostgresStore::open(config).await?.sealing_references(seal.clone());
    let keys = PostgresKeys::new(store.clone(), seal);
    Ok(builder.store(Arc::new(store)).key_shelf(Arc::new(keys)))
}
