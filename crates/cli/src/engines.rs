//! The engines of a partner server that has grown: from settings to the parts that it is built of.

use std::path::PathBuf;
use std::sync::Arc;

use landbridge_engines::{
    NatsConfig, NatsSwitchboard, ObjectBlobs, ObjectsConfig, PostgresConfig, PostgresKeys, PostgresStore,
    SealKey,
};
use landbridge_partner::PartnerBuilder;

use crate::config::PartnerSection;
use crate::failure::Failure;

/// Flags that stand over the file.
#[derive(clap::Args)]
pub(crate) struct Flags {
    /// Keep everything with a row in this PostgreSQL database, for any number of servers; URL with user and password
    #[arg(long, value_name = "URL", env = "LANDBRIDGE_PARTNER_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
    /// The file with the key that signing keys are sealed with in the database
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_SEAL_KEY")]
    seal_key_file: Option<PathBuf>,
}

/// What is to be used in place of the data directory.
pub(crate) struct Engines {
    postgres: Option<PostgresConfig>,
    objects: Option<ObjectsConfig>,
    nats: Option<NatsConfig>,
}

impl Engines {
    /// Flags and environment over the file.
    pub(crate) fn resolve(flags: Flags, file: &PartnerSection) -> Result<Self, Failure> {
        let Flags { postgres: url, seal_key_file } = flags;
        let mut postgres = match (file.postgres.clone(), url) {
            (Some(file), url) => Some(PostgresConfig { url: url.unwrap_or(file.url), ..file }),
            (None, url) => url.map(PostgresConfig::new),
        };
        match &mut postgres {
            Some(postgres) => {
                if postgres.url.is_empty() {
                    return Err(Failure::usage("[partner.postgres] has no url, and no --postgres gives one"));
                }
                postgres.seal_key_file = seal_key_file.or(postgres.seal_key_file.take());
            }
            None if seal_key_file.is_some() => {
                return Err(Failure::usage(
                    "--seal-key-file is for keys in a database; --postgres names one",
                ));
            }
            None => {}
        }
        Ok(Self { postgres, objects: file.objects.clone(), nats: file.nats.clone() })
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
