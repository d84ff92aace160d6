//! The engines' settings from flags and environment, over those of the file.

use std::path::PathBuf;

use landbridge_engines::{NatsConfig, ObjectsConfig, PostgresConfig};

use super::Engines;
use crate::config::PartnerSection;
use crate::failure::Failure;

/// The variable with the URL of the database.
const POSTGRES: &str = "LANDBRIDGE_PARTNER_POSTGRES";

/// Flags that stand over the file. What is secret is in files, or in the environment; a command line can be read by everybody on
/// the machine.
#[derive(clap::Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    postgres: PostgresFlags,
    #[command(flatten)]
    objects: ObjectsFlags,
    #[command(flatten)]
    nats: NatsFlags,
}

#[derive(clap::Args)]
#[command(next_help_heading = "PostgreSQL")]
struct PostgresFlags {
    /// Keep everything with a row in this database, for any number of servers; a URL with a password comes from the environment or
    /// from --postgres-url-file
    #[arg(long, value_name = "URL", env = POSTGRES, hide_env_values = true, conflicts_with = "postgres_url_file")]
    postgres: Option<String>,
    /// A file with the URL of the database on its first line, mode 0600
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_POSTGRES_URL_FILE")]
    postgres_url_file: Option<PathBuf>,
    /// Connections at most [default: 16]
    #[arg(long, value_name = "N", env = "LANDBRIDGE_PARTNER_POSTGRES_POOL")]
    postgres_pool: Option<usize>,
    /// Roots of the database's certificate in PEM [default: the system's]
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_POSTGRES_CA_FILE")]
    postgres_ca_file: Option<PathBuf>,
    /// The file with the key that signing keys and references are sealed with in the database
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_SEAL_KEY")]
    seal_key_file: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Object store")]
struct ObjectsFlags {
    /// Keep the bytes of media in this bucket of a store that speaks S3
    #[arg(long, value_name = "NAME", env = "LANDBRIDGE_PARTNER_OBJECTS_BUCKET")]
    objects_bucket: Option<String>,
    /// The URL of the store [default: that of AWS in the region]
    #[arg(long, value_name = "URL", env = "LANDBRIDGE_PARTNER_OBJECTS_ENDPOINT")]
    objects_endpoint: Option<String>,
    /// The region [default: us-east-1]
    #[arg(long, value_name = "NAME", env = "LANDBRIDGE_PARTNER_OBJECTS_REGION")]
    objects_region: Option<String>,
    /// Who comes in [default: the ways of AWS, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY among them]
    #[arg(long, value_name = "ID", env = "LANDBRIDGE_PARTNER_OBJECTS_ACCESS_KEY_ID")]
    objects_access_key_id: Option<String>,
    /// The file with the secret that belongs to it
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_OBJECTS_SECRET_ACCESS_KEY_FILE")]
    objects_secret_access_key_file: Option<PathBuf>,
    /// Roots of the store's certificate in PEM [default: the system's]
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_OBJECTS_CA_FILE")]
    objects_ca_file: Option<PathBuf>,
    /// The bucket is the first part of the host's name instead of the path's
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "LANDBRIDGE_PARTNER_OBJECTS_VIRTUAL_HOSTED"
    )]
    objects_virtual_hosted: Option<bool>,
    /// Speak HTTP without TLS to the store
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "LANDBRIDGE_PARTNER_OBJECTS_ALLOW_HTTP"
    )]
    objects_allow_http: Option<bool>,
    /// How long a request is repeated that the store does not answer [default: 15]
    #[arg(long, value_name = "SECONDS", env = "LANDBRIDGE_PARTNER_OBJECTS_PATIENCE_SECONDS")]
    objects_patience_seconds: Option<u16>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "NATS")]
struct NatsFlags {
    /// Tie several servers together: nats://host:4222 or tls://host:4222, several of one cluster with commas between
    #[arg(long, value_name = "URL", env = "LANDBRIDGE_PARTNER_NATS")]
    nats: Option<String>,
    /// A file of credentials (.creds)
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_NATS_CREDENTIALS_FILE")]
    nats_credentials_file: Option<PathBuf>,
    /// A file with the seed of an NKey
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_NATS_NKEY_FILE")]
    nats_nkey_file: Option<PathBuf>,
    /// A user's name
    #[arg(long, value_name = "NAME", env = "LANDBRIDGE_PARTNER_NATS_USER")]
    nats_user: Option<String>,
    /// The file with the user's password
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_NATS_PASSWORD_FILE")]
    nats_password_file: Option<PathBuf>,
    /// A file with a token
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_NATS_TOKEN_FILE")]
    nats_token_file: Option<PathBuf>,
    /// Roots of the certificate of NATS in PEM [default: the system's]
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_NATS_CA_FILE")]
    nats_ca_file: Option<PathBuf>,
    /// The same at all servers of one partner, and nobody else's [default: landbridge]
    #[arg(long, value_name = "NAME", env = "LANDBRIDGE_PARTNER_NATS_PREFIX")]
    nats_prefix: Option<String>,
    /// After how long a server that is silent counts as gone [default: 40]
    #[arg(long, value_name = "SECONDS", env = "LANDBRIDGE_PARTNER_NATS_ALIVE_SECONDS")]
    nats_alive_seconds: Option<u64>,
    /// Copies of the routes in a cluster of NATS [default: 1]
    #[arg(long, value_name = "N", env = "LANDBRIDGE_PARTNER_NATS_REPLICAS")]
    nats_replicas: Option<usize>,
}

impl Flags {
    /// What is to be used, with what the file says where nothing is said here.
    pub(super) fn over(self, file: &PartnerSection) -> Result<Engines, Failure> {
        Ok(Engines {
            postgres: self.postgres.over(file.postgres.clone())?,
            objects: self.objects.over(file.objects.clone())?,
            nats: self.nats.over(file.nats.clone())?,
        })
    }
}

impl PostgresFlags {
    fn over(self, file: Option<PostgresConfig>) -> Result<Option<PostgresConfig>, Failure> {
        let Self { postgres, postgres_url_file, postgres_pool, postgres_ca_file, seal_key_file } = self;
        let is_named = file.is_some() || postgres.is_some() || postgres_url_file.is_some();
        let more = postgres_pool.is_some() || postgres_ca_file.is_some() || seal_key_file.is_some();
        if !is_named {
            let nothing = "--seal-key-file and --postgres-… are for a database; --postgres names one";
            return if more { Err(Failure::usage(nothing)) } else { Ok(None) };
        }
        let mut config = file.unwrap_or_else(|| PostgresConfig::new(""));
        if let Some(url) = postgres {
            config = PostgresConfig { url, url_file: None, ..config };
            let from_environment = std::env::var(POSTGRES).is_ok_and(|url| url == config.url);
            if !from_environment && config.has_password() {
                return Err(Failure::usage(
                    "--postgres has a password in it, which everybody on this machine can read",
                )
                .hint(
                    "set LANDBRIDGE_PARTNER_POSTGRES, or put the URL into a file for --postgres-url-file",
                ));
            }
        }
        if postgres_url_file.is_some() {
            config = PostgresConfig { url: String::new(), url_file: postgres_url_file, ..config };
        }
        if config.url.is_empty() && config.url_file.is_none() {
            return Err(Failure::usage("[partner.postgres] has no url, and no --postgres gives one"));
        }
        config.pool = postgres_pool.unwrap_or(config.pool);
        config.ca_file = postgres_ca_file.or(config.ca_file);
        config.seal_key_file = seal_key_file.or(config.seal_key_file);
        Ok(Some(config))
    }
}

impl ObjectsFlags {
    fn over(self, file: Option<ObjectsConfig>) -> Result<Option<ObjectsConfig>, Failure> {
        let base = file.clone().unwrap_or_default();
        let config = ObjectsConfig {
            bucket: self.objects_bucket.unwrap_or(base.bucket),
            endpoint: self.objects_endpoint.or(base.endpoint),
            region: self.objects_region.unwrap_or(base.region),
            access_key_id: self.objects_access_key_id.or(base.access_key_id),
            secret_access_key_file: self.objects_secret_access_key_file.or(base.secret_access_key_file),
            ca_file: self.objects_ca_file.or(base.ca_file),
            virtual_hosted: self.objects_virtual_hosted.unwrap_or(base.virtual_hosted),
            allow_http: self.objects_allow_http.unwrap_or(base.allow_http),
            patience_seconds: self.objects_patience_seconds.unwrap_or(base.patience_seconds),
        };
        if file.is_none() && config == ObjectsConfig::default() {
            return Ok(None);
        }
        if config.bucket.is_empty() {
            return Err(Failure::usage("--objects-… are for a bucket; --objects-bucket names one"));
        }
        Ok(Some(config))
    }
}

impl NatsFlags {
    fn over(self, file: Option<NatsConfig>) -> Result<Option<NatsConfig>, Failure> {
        let is_named = file.is_some() || self.nats.is_some();
        let base = file.unwrap_or_default();
        let config = NatsConfig {
            url: self.nats.unwrap_or_else(|| base.url.clone()),
            credentials_file: self.nats_credentials_file.or(base.credentials_file.clone()),
            nkey_file: self.nats_nkey_file.or(base.nkey_file.clone()),
            user: self.nats_user.or(base.user.clone()),
            password_file: self.nats_password_file.or(base.password_file.clone()),
            token_file: self.nats_token_file.or(base.token_file.clone()),
            ca_file: self.nats_ca_file.or(base.ca_file.clone()),
            prefix: self.nats_prefix.unwrap_or_else(|| base.prefix.clone()),
            alive_seconds: self.nats_alive_seconds.unwrap_or(base.alive_seconds),
            replicas: self.nats_replicas.unwrap_or(base.replicas),
        };
        match is_named {
            true => Ok(Some(config)),
            false if config == base => Ok(None),
            false => Err(Failure::usage("--nats-… are for NATS; --nats says where it is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn resolve(words: &[&str], file: &str) -> Result<Engines, Failure> {
        let command = Flags::augment_args(clap::Command::new("partner").no_binary_name(true));
        let flags = Flags::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let file = crate::config::Config::parse(file).ok().unwrap();
        flags.over(&file.partner)
    }

    /// Whatever is not in this list of all fields cannot be set by a flag.
    #[test]
    fn every_setting_has_a_flag_that_wins_over_the_file() {
        let words = "--postgres postgresql://a@b/c --postgres-pool 3 --postgres-ca-file ca --seal-key-file seal \
             --objects-bucket b --objects-endpoint https://s --objects-region r --objects-access-key-id i \
             --objects-secret-access-key-file s --objects-ca-file ca --objects-virtual-hosted --objects-allow-http \
             --objects-patience-seconds 2 --nats nats://n --nats-credentials-file c --nats-nkey-file k --nats-user u \
             --nats-password-file p --nats-token-file t --nats-ca-file ca --nats-prefix x --nats-alive-seconds 4 \
             --nats-replicas 5";
        let words: Vec<&str> = words.split_whitespace().collect();
        let file = "[partner.postgres]\nurl = \"postgresql://other\"\n[partner.objects]\nbucket = \"other\"\n\
                    [partner.nats]\nurl = \"nats://other\"\nprefix = \"other\"\n";
        for file in [file, ""] {
            let Engines { postgres, objects, nats } = resolve(&words, file).ok().unwrap();
            let path = |name: &str| Some(PathBuf::from(name));
            let text = |text: &str| Some(text.to_owned());
            let expected = PostgresConfig {
                url: "postgresql://a@b/c".to_owned(),
                url_file: None,
                pool: 3,
                ca_file: path("ca"),
                seal_key_file: path("seal"),
            };
            assert!(postgres == Some(expected));
            let expected = ObjectsConfig {
                bucket: "b".to_owned(),
                endpoint: text("https://s"),
                region: "r".to_owned(),
                access_key_id: text("i"),
                secret_access_key_file: path("s"),
                ca_file: path("ca"),
                virtual_hosted: true,
                allow_http: true,
                patience_seconds: 2,
            };
            assert_eq!(objects, Some(expected));
            let expected = NatsConfig {
                url: "nats://n".to_owned(),
                credentials_file: path("c"),
                nkey_file: path("k"),
                user: text("u"),
                password_file: path("p"),
                token_file: path("t"),
                ca_file: path("ca"),
                prefix: "x".to_owned(),
                alive_seconds: 4,
                replicas: 5,
            };
            assert_eq!(nats, Some(expected));
        }
    }

    #[test]
    fn what_is_not_said_is_the_files() {
        let file = "[partner.postgres]\nurl_file = \"there\"\npool = 2\n[partner.objects]\nbucket = \"b\"\nregion = \"r\"\n\
                    [partner.nats]\nurl = \"nats://n\"\nreplicas = 3\n";
        let Engines { postgres, objects, nats } = resolve(&[], file).ok().unwrap();
        let postgres = postgres.unwrap();
        assert_eq!((postgres.pool, postgres.url_file), (2, Some("there".into())));
        assert_eq!((objects.unwrap().region, nats.unwrap().replicas), ("r".to_owned(), 3));
        // A URL here takes the place of the file there, and the other way round.
        let postgres = resolve(&["--postgres", "postgresql://a"], file).ok().unwrap().postgres.unwrap();
        assert!(postgres.url == "postgresql://a" && postgres.url_file.is_none());
        let file = "[partner.postgres]\nurl = \"postgresql://a\"\n";
        let postgres = resolve(&["--postgres-url-file", "f"], file).ok().unwrap().postgres.unwrap();
        assert!(postgres.url.is_empty() && postgres.url_file == Some("f".into()));
        let Engines { postgres, objects, nats } = resolve(&[], "").ok().unwrap();
        assert!(postgres.is_none() && objects.is_none() && nats.is_none());
    }

    #[test]
    fn half_of_it_is_refused() {
        for words in [
            ["--postgres-pool", "3"],
            ["--seal-key-file", "f"],
            ["--objects-endpoint", "https://s"],
            ["--nats-user", "u"],
            ["--postgres", "postgresql://user:secret@host/database"],
        ] {
            assert!(resolve(&words, "").is_err(), "{words:?}");
        }
        assert!(resolve(&[], "[partner.postgres]\n").is_err());
        assert!(resolve(&[], "[partner.objects]\nregion = \"r\"\n").is_err());
    }
}
