//! Flags of the command line.

use std::path::PathBuf;

use serde::Serialize;

/// Flags of the command line: what is not given is `None`, and says nothing.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub struct Flags {
    /// Directory of the database [default: ./omendb-data]
    #[arg(short = 'd', long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on; may be repeated [default: 127.0.0.1:5432]
    #[arg(short, long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// Most connections at once [default: 1000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// Name of the first role of a new database [default: postgres]
    #[arg(short = 'U', long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superuser: Option<String>,
    /// Who connects without a password: "loopback" or "none" [default: loopback]
    #[arg(long, value_name = "WHO")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// TLS certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key, PEM
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Memory for pages of the file, such as 256MB [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_cache: Option<String>,
    /// Memory of all running queries together [default: 1GB]
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_memory: Option<String>,
    /// Memory of what all transactions together have changed and not yet committed [default: 1GB]
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_memory: Option<String>,
    /// Memory for decoded columns [default: 512MB]
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column_cache: Option<String>,
    /// Memory for keys and rows of segments [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_cache: Option<String>,
    /// Rows that a table collects before they are sealed into a segment [default: 100000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal_rows: Option<u64>,
    /// New rows that one statement holds in memory before they go to segments directly [default: 65536]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_rows: Option<usize>,
    /// Seconds between looks for rows to seal; 0 leaves it to VACUUM [default: 10]
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal_interval: Option<u64>,
    /// Threads that run statements [default: one for each core]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_threads: Option<usize>,
    /// Seconds that running statements have to finish when the server stops [default: 10]
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_grace: Option<u64>,
    /// Log filter: error, warn, info, debug, trace, or per module [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// "text" or "json" [default: text]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
}
