//! Settings: defaults < `omendb.toml` < `OMENDB_*` < flags, checked once into a [`Config`].
//!
//! Every setting is documented in `omendb.example.toml`.

mod environment;
mod flags;

pub use environment::ENV_PREFIX;
pub use flags::Flags;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use environment::{ENVIRONMENT, Variables};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "omendb.toml";

const MIN_CACHE: u64 = 1 << 20;
const MAX_CONNECTIONS: usize = 100_000;
const MAX_WORKER_THREADS: usize = 1024;

/// Settings as they are written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data_dir: PathBuf,
    listen: OneOrMany,
    max_connections: usize,
    superuser: String,
    superuser_password: Option<String>,
    trust: Trust,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    page_cache: Size,
    query_memory: Size,
    transaction_memory: Size,
    column_cache: Size,
    segment_cache: Size,
    seal_rows: u64,
    load_rows: usize,
    seal_interval: u64,
    worker_threads: usize,
    shutdown_grace: u64,
    log: String,
    log_format: LogFormat,
}

impl Default for Raw {
    fn default() -> Self {
        Raw {
            data_dir: "omendb-data".into(),
            listen: OneOrMany::One("127.0.0.1:5432".into()),
            max_connections: 1000,
            superuser: "postgres".into(),
            superuser_password: None,
            trust: Trust::Loopback,
            tls_cert: None,
            tls_key: None,
            page_cache: Size::Text("256MB".into()),
            query_memory: Size::Text("1GB".into()),
            transaction_memory: Size::Text("1GB".into()),
            column_cache: Size::Text("512MB".into()),
            segment_cache: Size::Text("256MB".into()),
            seal_rows: 100_000,
            load_rows: 65_536,
            seal_interval: 10,
            worker_threads: 0,
            shutdown_grace: 10,
            log: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Bytes: a number, or text with a unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    fn bytes(&self) -> Option<u64> {
        let text = match self {
            Size::Bytes(bytes) => return Some(*bytes),
            Size::Text(text) => text.trim(),
        };
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text
            .get(digits.len()..)?
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "b" => 0,
            "kb" | "kib" | "k" => 10,
            "mb" | "mib" | "m" => 20,
            "gb" | "gib" | "g" => 30,
            "tb" | "tib" | "t" => 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}

/// Who connects without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Connections from this machine.
    Loopback,
    /// Nobody.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: Vec<SocketAddr>,
    pub max_connections: usize,
    pub superuser: String,
    pub superuser_password: Option<String>,
    pub trust: Trust,
    /// Certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub page_cache: usize,
    pub query_memory: usize,
    pub transaction_memory: usize,
    pub column_cache: usize,
    pub segment_cache: usize,
    pub seal_rows: u64,
    /// See [`Flags::load_rows`].
    pub load_rows: usize,
    /// Seconds; 0 is never.
    pub seal_interval: u64,
    pub worker_threads: usize,
    /// Seconds.
    pub shutdown_grace: u64,
    pub log: String,
    pub log_format: LogFormat,
}

/// What is wrong with the settings, and where it comes from.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads all sources: the named file (it must exist; otherwise `omendb.toml`, if it is there),
    /// those of `variables` that begin with `OMENDB_`, and flags.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown setting, a value that is none; says which and where.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Config, ConfigError> {
        let mut variables = Variables::new(variables);
        let named = match file {
            Some(file) => Some(file.to_path_buf()),
            None => variables.config_file.take(),
        };
        if let Some(named) = &named
            && !named.is_file()
        {
            return Err(ConfigError(format!(
                "the configuration file {} does not exist",
                named.display()
            )));
        }
        let path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let mut figment = Figment::from(Serialized::defaults(Raw::default()));
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(path));
        }
        let raw = figment
            .merge(variables)
            .merge(Serialized::defaults(flags))
            .extract::<Raw>()
            .map_err(|error| ConfigError(explain(&error)))?;
        Config::check(raw)
    }

    fn check(raw: Raw) -> Result<Config, ConfigError> {
        let size = |name: &str, size: &Size| -> Result<usize, ConfigError> {
            let bytes = size.bytes().and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
                let shown = match size {
                    Size::Bytes(bytes) => bytes.to_string(),
                    Size::Text(text) => text.clone(),
                };
                ConfigError(format!(
                    "{name}: \"{shown}\" is not a size; write bytes or a number with a unit, such as \"256MB\""
                ))
            })?;
            if (bytes as u64) < MIN_CACHE {
                return Err(ConfigError(format!("{name}: must be at least 1MB")));
            }
            Ok(bytes)
        };
        let addresses: Vec<String> = match &raw.listen {
            OneOrMany::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            OneOrMany::Many(list) => list.clone(),
        };
        let mut listen = Vec::new();
        for address in &addresses {
            let resolved = address.to_socket_addrs().map_err(|error| {
                ConfigError(format!(
                    "listen: \"{address}\" is not an address; write HOST:PORT, such as \"127.0.0.1:5432\" ({error})"
                ))
            })?;
            listen.extend(resolved);
        }
        if listen.is_empty() {
            return Err(ConfigError("listen: at least one address is needed".into()));
        }
        if !(1..=MAX_CONNECTIONS).contains(&raw.max_connections) {
            return Err(ConfigError(format!(
                "max_connections: must be between 1 and {MAX_CONNECTIONS}"
            )));
        }
        if raw.worker_threads > MAX_WORKER_THREADS {
            return Err(ConfigError(format!(
                "worker_threads: must be at most {MAX_WORKER_THREADS}"
            )));
        }
        if raw.superuser.is_empty() || raw.superuser.len() > 63 {
            return Err(ConfigError("superuser: must be 1 to 63 bytes long".into()));
        }
        let tls = match (raw.tls_cert, raw.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(ConfigError(
                    "tls_cert and tls_key: give both, or none of them".into(),
                ));
            }
        };
        Ok(Config {
            data_dir: raw.data_dir,
            listen,
            max_connections: raw.max_connections,
            superuser: raw.superuser,
            superuser_password: raw
                .superuser_password
                .filter(|password| !password.is_empty()),
            trust: raw.trust,
            tls,
            page_cache: size("page_cache", &raw.page_cache)?,
            query_memory: size("query_memory", &raw.query_memory)?,
            transaction_memory: size("transaction_memory", &raw.transaction_memory)?,
            column_cache: size("column_cache", &raw.column_cache)?,
            segment_cache: size("segment_cache", &raw.segment_cache)?,
            seal_rows: raw.seal_rows,
            load_rows: raw.load_rows,
            seal_interval: raw.seal_interval,
            worker_threads: match raw.worker_threads {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                count => count,
            },
            shutdown_grace: raw.shutdown_grace,
            log: raw.log,
            log_format: raw.log_format,
        })
    }

    /// Addresses that other machines can reach.
    pub fn public_addresses(&self) -> Vec<SocketAddr> {
        self.listen
            .iter()
            .copied()
            .filter(|address| !address.ip().is_loopback())
            .collect()
    }
}

/// One line for each problem: what, which setting, from which file or variable.
fn explain(error: &figment::Error) -> String {
    let mut lines: Vec<String> = error
        .clone()
        .into_iter()
        .map(|error| {
            let mut line = error.kind.to_string();
            if !error.path.is_empty() {
                line = format!("{}: {line}", error.path.join("."));
            }
            if let Some(metadata) = &error.metadata {
                let place = match &metadata.source {
                    Some(source) => source.to_string(),
                    None if metadata.name == ENVIRONMENT => {
                        let key = match &error.kind {
                            figment::error::Kind::UnknownField(field, _) => field.clone(),
                            _ => error.path.join("."),
                        };
                        format!("environment variable {ENV_PREFIX}{}", key.to_uppercase())
                    }
                    None => "the command line".to_owned(),
                };
                line = format!("{line} (in {place})");
            }
            line
        })
        .collect();
    lines.dedup();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    /// Loads a file with `toml`, the variables and the flags.
    fn load(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, String> {
        let dir = TestDir::new();
        let path = dir.path().join(DEFAULT_FILE);
        std::fs::write(&path, toml).unwrap();
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()));
        Config::load(Some(&path), variables, flags).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let config = load("", &[], &Flags::default()).unwrap();
        assert_eq!(config.max_connections, 1000);
        assert_eq!(config.listen, ["127.0.0.1:5432".parse().unwrap()]);
        assert_eq!(config.page_cache, 256 << 20);
        assert!(config.public_addresses().is_empty());

        let toml = "max_connections = 1\nsuperuser = 'file'\npage_cache = 2097152\n\
                    listen = ['127.0.0.1:1', '0.0.0.0:2']";
        let variables = [
            ("OMENDB_MAX_CONNECTIONS", "2"),
            ("OMENDB_SUPERUSER_PASSWORD", "007"),
            ("OMENDB_BIN", "is of the tests"),
            ("HOME", "is no setting"),
        ];
        let flags = Flags {
            query_memory: Some("3 GB".into()),
            ..Flags::default()
        };
        let config = load(toml, &variables, &flags).unwrap();
        assert_eq!(config.max_connections, 2);
        assert_eq!(config.superuser, "file");
        assert_eq!(config.superuser_password.as_deref(), Some("007"));
        assert_eq!(config.page_cache, 2 << 20);
        assert_eq!(config.query_memory, 3 << 30);
        assert_eq!(config.public_addresses(), ["0.0.0.0:2".parse().unwrap()]);

        let flags = Flags {
            max_connections: Some(3),
            ..Flags::default()
        };
        assert_eq!(load(toml, &variables, &flags).unwrap().max_connections, 3);
    }

    #[test]
    fn mistakes_say_where_they_are() {
        let none = Flags::default();
        let error = load("max_conections = 1", &[], &none).unwrap_err();
        assert!(
            error.contains("max_conections") && error.contains(DEFAULT_FILE),
            "{error}"
        );
        let error = load("max_connections = 'many'", &[], &none).unwrap_err();
        assert!(
            error.contains("max_connections") && error.contains(DEFAULT_FILE),
            "{error}"
        );
        let error = load("", &[("OMENDB_MAX_CONNECTION", "1")], &none).unwrap_err();
        assert!(error.contains("variable OMENDB_MAX_CONNECTION)"), "{error}");
        let error = load("", &[("OMENDB_MAX_CONNECTIONS", "many")], &none).unwrap_err();
        assert!(
            error.contains("variable OMENDB_MAX_CONNECTIONS)"),
            "{error}"
        );

        let wrong = [
            Flags {
                page_cache: Some("much".into()),
                ..Flags::default()
            },
            Flags {
                page_cache: Some("1".into()),
                ..Flags::default()
            },
            Flags {
                listen: vec!["nowhere".into()],
                ..Flags::default()
            },
            Flags {
                max_connections: Some(0),
                ..Flags::default()
            },
            Flags {
                trust: Some("all".into()),
                ..Flags::default()
            },
            Flags {
                tls_cert: Some("x".into()),
                ..Flags::default()
            },
        ];
        for flags in wrong {
            load("", &[], &flags).unwrap_err();
        }
        Config::load(Some(Path::new("missing.toml")), [], &none).unwrap_err();
    }

    #[test]
    fn the_example_holds_the_defaults() {
        let example = load(
            include_str!("../../omendb.example.toml"),
            &[],
            &Flags::default(),
        );
        let defaults = load("", &[], &Flags::default());
        assert_eq!(
            format!("{:?}", example.unwrap()),
            format!("{:?}", defaults.unwrap())
        );
    }
}
