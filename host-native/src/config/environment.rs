//! Settings from the environment.

use std::path::PathBuf;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// Prefix of environment variables.
pub const ENV_PREFIX: &str = "OMENDB_";

/// The variable that names the file; not a setting itself.
const CONFIG_VARIABLE: &str = "config";

/// Settings that are text even if they look like a number.
const TEXT_SETTINGS: &[&str] = &[
    "data_dir",
    "listen",
    "superuser",
    "superuser_password",
    "tls_cert",
    "tls_key",
    "log",
];

/// Environment variables of tests, which are no settings.
const TEST_VARIABLES: &[&str] = &["bin", "test_postgres"];

/// Name under which errors know the environment.
pub(super) const ENVIRONMENT: &str = "environment";

/// Settings from the environment.
pub(super) struct Variables {
    settings: Dict,
    pub config_file: Option<PathBuf>,
}

impl Variables {
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut found = Variables {
            settings: Dict::new(),
            config_file: None,
        };
        for (name, text) in variables {
            let Some(name) = name.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            if name == CONFIG_VARIABLE {
                found.config_file = Some(PathBuf::from(text));
            } else if TEXT_SETTINGS.contains(&name.as_str()) {
                found.settings.insert(name, Value::from(text));
            } else if !TEST_VARIABLES.contains(&name.as_str()) {
                let value = match text.trim().parse::<u64>() {
                    Ok(number) => Value::from(number),
                    Err(_) => Value::from(text),
                };
                found.settings.insert(name, value);
            }
        }
        found
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.settings.clone())]))
    }
}
