//! The server: listens, accepts, and stops in order.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omendb_core::error::SqlState;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::config::{Config, Trust};
use crate::database::OpenDatabase;
use crate::env::SystemEntropy;
use crate::lanes::Lanes;
use crate::tls;
use crate::wire::{Backend, Peer, Server};

/// Stack of the threads that run statements: planning deep queries needs it.
pub const THREAD_STACK: usize = 64 << 20;
/// Sockets beyond `max_connections` that may be open at once: they are told that there are too
/// many clients, or ask to cancel. Any more are closed at once.
const SPARE_SOCKETS: usize = 64;
/// Pause after `accept` failed, for instance because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long statements may take to notice that they are interrupted at the end of the grace time.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// How often the end looks whether all connections are gone.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Serves until SIGTERM or SIGINT, then stops in order.
///
/// # Errors
/// Whatever keeps the server from starting, as a text for people.
pub async fn serve(config: Config) -> Result<(), String> {
    let listeners = listen(&config).await?;
    let acceptor = match &config.tls {
        Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
        None => None,
    };
    let open = OpenDatabase::open(&config).await?;
    admission(&config, &open).await?;

    let server = Arc::new(Server::new(
        open.database.clone(),
        config.max_connections,
        acceptor,
        Arc::new(SystemEntropy::new()),
        tokio::runtime::Handle::current(),
    ));
    let sockets = Arc::new(AtomicUsize::new(0));
    let lanes = Lanes::start(config.worker_threads, THREAD_STACK)
        .map_err(|error| format!("cannot start the threads of connections: {error}"))?;
    let lanes = Arc::new(Mutex::new(lanes));
    let mut accepting = JoinSet::new();
    let limit = config.max_connections + SPARE_SOCKETS;
    for listener in listeners {
        let (server, sockets, trust) = (server.clone(), sockets.clone(), config.trust);
        accepting.spawn(accept(
            listener,
            server,
            trust,
            sockets,
            limit,
            lanes.clone(),
        ));
    }
    announce(&config);

    let signal = stop_signal().await?;
    tracing::info!("{signal}: stopping");
    accepting.shutdown().await;
    server.registry.stop();
    let gone = || sockets.load(Ordering::Acquire) == 0;
    if !wait_until(Duration::from_secs(config.shutdown_grace), gone).await {
        tracing::warn!(
            "statements still run after {} s: stopping them",
            config.shutdown_grace
        );
        server.registry.interrupt_all();
        wait_until(INTERRUPT_GRACE, gone).await;
    }
    open.database
        .close()
        .map_err(|error| format!("cannot close the database: {error}"))?;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(config: &Config) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in &config.listen {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::AddrInUse => format!(
                    "address {address} is in use by another server\n\
                 Choose another port, for example: omendb serve --listen {}:{}",
                    address.ip(),
                    address.port().checked_add(1).unwrap_or(5432),
                ),
                ErrorKind::PermissionDenied => format!("no permission to listen on {address}"),
                _ => format!("cannot listen on {address}: {error}"),
            })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Sets the superuser's password, and refuses to face other machines without one.
async fn admission(config: &Config, open: &OpenDatabase) -> Result<(), String> {
    if let Some(password) = &config.superuser_password {
        open.set_password(&config.superuser, password)
            .await
            .map_err(|error| {
                format!(
                    "cannot set the password of \"{}\": {error}",
                    config.superuser
                )
            })?;
    }
    let verifier = match open.database.login(&config.superuser) {
        Ok(login) => login.verifier,
        Err(error) if error.state() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            return Err(format!(
                "{error}\nThe database in {} was made with another superuser: name it with --superuser.",
                config.data_dir.display()
            ));
        }
        Err(error) => return Err(error.to_string()),
    };
    if verifier.is_some() {
        return Ok(());
    }
    if let Some(address) = config.public_addresses().first() {
        return Err(format!(
            "{address} can be reached from other machines, but \"{user}\" has no password\n\
             Set one with OMENDB_SUPERUSER_PASSWORD, or with \
             `omendb sql -c \"ALTER ROLE {user} PASSWORD '…'\"`, or listen on 127.0.0.1 only.",
            user = config.superuser,
        ));
    }
    if config.trust == Trust::None {
        return Err(format!(
            "nobody could connect: trust is \"none\" and \"{}\" has no password\n\
             Set one with OMENDB_SUPERUSER_PASSWORD.",
            config.superuser
        ));
    }
    Ok(())
}

/// Says how to connect.
fn announce(config: &Config) {
    let user = &config.superuser;
    tracing::info!(
        data_dir = %config.data_dir.display(),
        "OmenDB {} is ready",
        env!("CARGO_PKG_VERSION")
    );
    for address in &config.listen {
        let host = match address.ip() {
            ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
            ip if ip.is_unspecified() => "::1".to_owned(),
            ip => ip.to_string(),
        };
        eprintln!(
            "Connect with: psql -h {host} -p {} -U {user} {user}",
            address.port()
        );
    }
    match config.trust {
        Trust::Loopback => eprintln!(
            "Connections from this machine need no password (trust = \"loopback\"); others do."
        ),
        Trust::None => eprintln!("All connections need a password."),
    }
    if config.tls.is_none() && !config.public_addresses().is_empty() {
        tracing::warn!("other machines can connect, but not encrypted: tls_cert is not set");
    }
}

async fn accept<B: Backend>(
    listener: TcpListener,
    server: Arc<Server<B>>,
    trust: Trust,
    sockets: Arc<AtomicUsize>,
    limit: usize,
    lanes: Arc<Mutex<Lanes>>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let counted = Counted::new(&sockets);
                if counted.number > limit {
                    tracing::warn!(%peer, "too many sockets: closed");
                    continue;
                }
                let (server, peer) = (server.clone(), peer_of(peer, trust));
                // The socket leaves this event loop for the one of its lane.
                let socket = match socket.into_std() {
                    Ok(socket) => socket,
                    Err(error) => {
                        tracing::warn!(%error, "a socket was lost");
                        continue;
                    }
                };
                lanes.lock().spawn(move || async move {
                    let _counted = counted;
                    match TcpStream::from_std(socket) {
                        Ok(socket) => connection(&server, socket, peer).await,
                        Err(error) => tracing::warn!(%error, "a socket was lost"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<B: Backend>(server: &Server<B>, socket: TcpStream, peer: Peer) {
    // Answers are gathered here: the kernel shall not gather them a second time.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    server.serve(socket, peer).await;
}

fn peer_of(address: SocketAddr, trust: Trust) -> Peer {
    // An IPv4 client of an IPv6 listener has a mapped address.
    if trust == Trust::Loopback && address.ip().to_canonical().is_loopback() {
        Peer::Trusted
    } else {
        Peer::Remote
    }
}

/// One of the open sockets.
struct Counted {
    sockets: Arc<AtomicUsize>,
    number: usize,
}

impl Counted {
    fn new(sockets: &Arc<AtomicUsize>) -> Self {
        let number = sockets.fetch_add(1, Ordering::AcqRel) + 1;
        Counted {
            sockets: sockets.clone(),
            number,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sockets.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn wait_until(limit: Duration, done: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !done() {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}

/// Resolves with the name of the signal that asks the server to stop.
async fn stop_signal() -> Result<&'static str, String> {
    let failed = |error: std::io::Error| format!("cannot wait for signals: {error}");
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::select! {
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await.map_err(failed)?;
        Ok("Ctrl-C")
    }
}
