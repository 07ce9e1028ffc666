//! Servers to test against: an `omendb` process of our own, or a PostgreSQL that is named.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::wire::{Address, Client};

/// Names a PostgreSQL (`host:port`, superuser `postgres`) that the tests run against instead.
pub const ORACLE: &str = "OMENDB_TEST_POSTGRES";

/// Names the binary; without it the one next to the test binary is used.
const BINARY: &str = "OMENDB_BIN";

/// How long a server may take to answer its first query.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Attempts to find a free port before giving up.
const PORT_ATTEMPTS: usize = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the `omendb` binary is.
///
/// # Errors
/// It has not been built.
pub fn binary() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    // target/debug/deps/all-… → target/debug/omendb
    let mut path = std::env::current_exe()?;
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("omendb");
    if !path.exists() {
        let hint = "build it with `cargo build -p omendb`, or name it in OMENDB_BIN";
        return Err(format!("{} does not exist: {hint}", path.display()).into());
    }
    Ok(path)
}

/// A directory that is removed when the test is over.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Result<TempDir, Failure> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("omendb-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(TempDir(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An `omendb` process of this test alone.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    pub address: Address,
    dir: TempDir,
    flags: Vec<String>,
}

impl Process {
    pub fn start(flags: &[&str]) -> Result<Process, Failure> {
        let dir = TempDir::new()?;
        let mut process = Process {
            child: None,
            address: Address {
                host: "127.0.0.1".to_owned(),
                port: 0,
                user: "postgres".to_owned(),
                database: "postgres".to_owned(),
            },
            dir,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        };
        process.restart()?;
        Ok(process)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Bytes that the system's status of the process names (`VmRSS`: resident now, `VmHWM`: at most so far);
    /// `None` where it has none.
    pub fn resident(&self, what: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(what))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// The most bytes that were resident since it was asked last; `None` where the system does not say.
    pub fn take_peak(&self) -> Option<u64> {
        let peak = self.resident("VmHWM");
        // Back to what is resident now; where that is not allowed, it is the most since the start.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5");
        peak
    }

    /// Where its data lie.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// SIGKILL, as a power cut would stop the process; the data stay.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server on the data that are there, and waits for its first answer.
    pub fn restart(&mut self) -> Result<(), Failure> {
        self.kill();
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            self.address.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let log = File::options()
                .create(true)
                .append(true)
                .open(self.dir.path().join("log"))?;
            self.child = Some(
                Command::new(binary()?)
                    .arg("serve")
                    .arg("--data-dir")
                    .arg(self.dir.path().join("data"))
                    .arg("--listen")
                    .arg(format!("127.0.0.1:{}", self.address.port))
                    .args(&self.flags)
                    // Pages of 2 MB would count as resident as soon as a byte of them is used.
                    .env("MIMALLOC_ALLOW_THP", "0")
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()?,
            );
            match self.wait() {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
            self.kill();
            if !self.log().to_lowercase().contains("in use") {
                break;
            }
        }
        Err(format!("the server does not start: {last}\n{}", self.log()).into())
    }

    fn wait(&mut self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let exited = match &mut self.child {
                Some(child) => child.try_wait().map_err(|e| e.to_string())?,
                None => return Err("it was never started".to_owned()),
            };
            if let Some(status) = exited {
                return Err(format!("it ended with {status}"));
            }
            let answer = Client::connect(&self.address).and_then(|mut c| c.value("SELECT 1"));
            match answer {
                Ok(_) => return Ok(()),
                Err(why) if start.elapsed() > START_TIMEOUT => return Err(why.to_string()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An empty database: a fresh `omendb`, or a fresh database of the named PostgreSQL.
#[derive(Debug)]
pub enum Target {
    Omendb(Process),
    Postgres {
        address: Address,
        maintenance: Address,
    },
}

impl Target {
    pub fn fresh() -> Result<Target, Failure> {
        Self::with(&[])
    }

    /// A fresh database; these flags are for a server of our own.
    pub fn with(flags: &[&str]) -> Result<Target, Failure> {
        match std::env::var(ORACLE) {
            Ok(place) => Self::postgres(&place),
            Err(_) => Ok(Target::Omendb(Process::start(flags)?)),
        }
    }

    /// A fresh database in the PostgreSQL at `host:port`.
    pub fn postgres(place: &str) -> Result<Target, Failure> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (host, port) = place
            .rsplit_once(':')
            .ok_or_else(|| format!("{ORACLE} must be host:port"))?;
        let maintenance = Address {
            host: host.to_owned(),
            port: port.parse()?,
            user: "postgres".to_owned(),
            database: "postgres".to_owned(),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("test_{}_{number}", std::process::id());
        Client::connect(&maintenance)?.simple(&format!("CREATE DATABASE {database}"))?;
        let address = Address {
            database,
            ..maintenance.clone()
        };
        Ok(Target::Postgres {
            address,
            maintenance,
        })
    }

    pub fn address(&self) -> &Address {
        match self {
            Target::Omendb(process) => &process.address,
            Target::Postgres { address, .. } => address,
        }
    }

    /// The label that scripts use in `onlyif` and `skipif`.
    pub fn engine(&self) -> &'static str {
        match self {
            Target::Omendb(_) => "omendb",
            Target::Postgres { .. } => "postgres",
        }
    }

    pub fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(self.address())?)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Target::Postgres {
            address,
            maintenance,
        } = self
            && let Ok(mut client) = Client::connect(maintenance)
        {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", address.database);
            let _ = client.simple(&drop);
        }
    }
}
