//! One connection from accept to close.

use std::sync::Arc;
use std::time::Duration;

use omendb_core::env::Entropy;
use omendb_core::error::{Error, Result, SqlState};
use omendb_core::session::{ConnectOptions, Login, SqlSession};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use super::backend;
use super::connection::{Connection, End};
use super::control::{Place, Registry};
use super::io::Wire;
use super::startup::{self, Failure, Opening, Startup};

/// A client that has not authenticated by then is dropped (PostgreSQL's default).
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the last message of a connection may take to go out.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the wire needs of a database; tests put a mock in its place.
pub trait Backend: Send + Sync + 'static {
    type Session: SqlSession + 'static;
    fn login(&self, user: &str) -> Result<Login>;
    fn connect(&self, options: ConnectOptions) -> Result<Self::Session>;
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// This machine, which the configuration trusts: no password is asked.
    Trusted,
    Remote,
}

/// All that connections share.
pub struct Server<B> {
    pub backend: B,
    pub registry: Arc<Registry>,
    pub tls: Option<TlsAcceptor>,
    entropy: Arc<dyn Entropy>,
    /// Where statements run that take long.
    workers: Handle,
    /// Makes the salts of users that do not exist.
    secret: [u8; 32],
}

impl<B: Backend> Server<B> {
    pub fn new(
        backend: B,
        max_connections: usize,
        tls: Option<TlsAcceptor>,
        entropy: Arc<dyn Entropy>,
        workers: Handle,
    ) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Server {
            backend,
            registry: Registry::new(max_connections),
            tls,
            entropy,
            workers,
            secret,
        }
    }

    /// Serves one connection until it ends. Never fails and never panics.
    pub async fn serve<T>(&self, io: T, peer: Peer)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut wire = Wire::new(io);
        let opened = tokio::time::timeout(AUTHENTICATION_TIMEOUT, self.negotiate(&mut wire)).await;
        match opened {
            Err(_) | Ok(Err(Failure::Gone)) => {}
            Ok(Err(Failure::Fatal(error))) => goodbye(&mut wire, &error).await,
            Ok(Ok(Negotiated::Canceled)) => {}
            Ok(Ok(Negotiated::Plain(startup))) => self.session(wire, startup, peer).await,
            Ok(Ok(Negotiated::Tls(acceptor))) => {
                let (io, early) = wire.into_io();
                if early {
                    // Bytes that came before encryption could be another's (CVE-2021-23214).
                    let error = Error::new(
                        SqlState::PROTOCOL_VIOLATION,
                        "received unencrypted data after SSL request",
                    );
                    return goodbye(&mut Wire::new(io), &error).await;
                }
                let accepted = tokio::time::timeout(AUTHENTICATION_TIMEOUT, acceptor.accept(io));
                let wire = match accepted.await {
                    Ok(Ok(io)) => Wire::new(io),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "TLS handshake failed");
                        return;
                    }
                    Err(_) => return,
                };
                self.encrypted(wire, peer).await;
            }
        }
    }

    async fn encrypted<T>(&self, mut wire: Wire<T>, peer: Peer)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opening = startup::read_opening(&mut wire);
        let opened = tokio::time::timeout(AUTHENTICATION_TIMEOUT, opening).await;
        match opened {
            Err(_) | Ok(Err(Failure::Gone)) => {}
            Ok(Err(Failure::Fatal(error))) => goodbye(&mut wire, &error).await,
            Ok(Ok(Opening::Start(startup))) => self.session(wire, startup, peer).await,
            Ok(Ok(Opening::Cancel { process_id, secret })) => {
                self.registry.cancel(process_id, secret);
            }
            Ok(Ok(Opening::Tls | Opening::Gss)) => {
                let error = Error::new(
                    SqlState::PROTOCOL_VIOLATION,
                    "the connection is encrypted already",
                );
                goodbye(&mut wire, &error).await;
            }
        }
    }

    /// Answers requests for encryption until the start-up packet comes.
    async fn negotiate<T>(&self, wire: &mut Wire<T>) -> Result<Negotiated, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        for _ in 0..=startup::MAX_NEGOTIATIONS {
            match startup::read_opening(wire).await? {
                Opening::Start(startup) => return Ok(Negotiated::Plain(startup)),
                Opening::Cancel { process_id, secret } => {
                    self.registry.cancel(process_id, secret);
                    return Ok(Negotiated::Canceled);
                }
                Opening::Tls => {
                    if let Some(acceptor) = &self.tls {
                        wire.output.push(b'S');
                        wire.flush().await?;
                        return Ok(Negotiated::Tls(acceptor.clone()));
                    }
                    wire.output.push(b'N');
                    wire.flush().await?;
                }
                Opening::Gss => {
                    wire.output.push(b'N');
                    wire.flush().await?;
                }
            }
        }
        Err(Error::new(
            SqlState::PROTOCOL_VIOLATION,
            "too many requests for encryption",
        )
        .into())
    }

    /// From the start-up packet to the end of the session.
    async fn session<T>(&self, mut wire: Wire<T>, startup: Startup, peer: Peer)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let user = startup.user.clone();
        let admission = self.admit(&mut wire, startup, peer);
        let opened = tokio::time::timeout(AUTHENTICATION_TIMEOUT, admission).await;
        let (session, place) = match opened {
            Err(_) | Ok(Err(Failure::Gone)) => return,
            Ok(Err(Failure::Fatal(error))) => {
                tracing::debug!(%user, %error, "connection refused");
                return goodbye(&mut wire, &error).await;
            }
            Ok(Ok(opened)) => opened,
        };
        tracing::debug!(%user, process_id = place.process_id, "connected");
        let control = place.control.clone();
        let connection = Connection::new(wire, session, control, place.process_id);
        let served = connection.serve(place.secret, &self.workers).await;
        if let Some((mut wire, End::Fatal(error))) = served {
            goodbye(&mut wire, &error).await;
        }
        tracing::debug!(process_id = place.process_id, "disconnected");
    }

    /// Authenticates the user and opens the session.
    async fn admit<T>(
        &self,
        wire: &mut Wire<T>,
        startup: Startup,
        peer: Peer,
    ) -> Result<(B::Session, Place), Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if startup.negotiate {
            backend::negotiate_version(&mut wire.output, 0, &startup.unknown_options);
        }
        let mut secret = [0; 4];
        self.entropy.fill(&mut secret);
        let place = self
            .registry
            .enter(&startup.user, i32::from_be_bytes(secret))?;

        let login = self.backend.login(&startup.user);
        if peer == Peer::Remote {
            // A user who may not log in learns so only with the right password.
            let verifier = login
                .as_ref()
                .ok()
                .and_then(|login| login.verifier.as_deref());
            let mut random = [0; 18];
            self.entropy.fill(&mut random);
            startup::authenticate(wire, &startup.user, verifier, &self.secret, random).await?;
        }
        place.check_role_limit(&startup.user, login?.connection_limit)?;
        backend::authentication(&mut wire.output, backend::AUTHENTICATION_OK, b"");

        let session = self.backend.connect(ConnectOptions {
            user: startup.user,
            database: startup.database,
            parameters: startup.parameters,
            process_id: place.process_id,
        })?;
        place.set_interrupt(session.interrupt());
        Ok((session, place))
    }
}

enum Negotiated {
    Plain(Startup),
    Tls(TlsAcceptor),
    Canceled,
}

/// Tells the client why the connection ends, and ends it.
async fn goodbye<T>(wire: &mut Wire<T>, error: &Error)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    backend::error(&mut wire.output, "FATAL", error);
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, wire.shutdown()).await;
}
