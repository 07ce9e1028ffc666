//! From the first byte to a session: encryption, the start-up packet, authentication.

use omendb_core::error::{Error, Result, SqlState};
use tokio::io::{AsyncRead, AsyncWrite};

use super::frontend::{self, Reader};
use super::io::{Gone, Wire};
use super::{backend, scram};

/// The largest packet before authentication (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_PACKET: usize = 10_000;
/// Options of a start-up packet; PostgreSQL bounds them by the packet alone.
const MAX_PARAMETERS: usize = 1_000;
/// Encryption requests before the start-up packet: one for GSSAPI, one for TLS.
pub const MAX_NEGOTIATIONS: usize = 2;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const MAJOR_VERSION: u32 = 3;

/// A packet before there is a session.
pub enum Opening {
    Tls,
    Gss,
    Cancel { process_id: i32, secret: i32 },
    Start(Startup),
}

/// The start-up packet.
#[derive(Default)]
pub struct Startup {
    pub user: String,
    pub database: String,
    pub parameters: Vec<(String, String)>,
    /// A newer minor version was asked for, or protocol options that are unknown here.
    pub negotiate: bool,
    pub unknown_options: Vec<String>,
}

/// Why the opening did not lead to a session.
pub enum Failure {
    Gone,
    Fatal(Error),
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Failure::Gone
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fatal(error)
    }
}

fn violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// Reads the next packet: a length and a body.
pub async fn read_opening<T>(wire: &mut Wire<T>) -> Result<Opening, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let length = loop {
        if let Some(&bytes) = wire.input().first_chunk::<4>() {
            break u32::from_be_bytes(bytes) as usize;
        }
        wire.fill().await?;
    };
    if !(8..=MAX_STARTUP_PACKET).contains(&length) {
        return Err(violation("invalid length of startup packet").into());
    }
    let opening = loop {
        if let Some(body) = wire.input().get(4..length) {
            break parse_opening(body);
        }
        wire.fill().await?;
    };
    wire.consume(length);
    Ok(opening?)
}

fn parse_opening(body: &[u8]) -> Result<Opening> {
    let mut reader = Reader::new(body);
    let version = reader.u32()?;
    match version {
        SSL_REQUEST => return Ok(Opening::Tls),
        GSSENC_REQUEST => return Ok(Opening::Gss),
        CANCEL_REQUEST => {
            let (process_id, secret) = (reader.i32()?, reader.i32()?);
            return Ok(Opening::Cancel { process_id, secret });
        }
        _ => {}
    }
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != MAJOR_VERSION {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0"),
        ));
    }
    let mut startup = Startup {
        negotiate: minor > 0,
        ..Startup::default()
    };
    loop {
        let name = reader.cstr()?;
        if name.is_empty() {
            break;
        }
        let value = reader.cstr()?;
        match name {
            "user" => startup.user = value.to_owned(),
            "database" => startup.database = value.to_owned(),
            "replication" if !matches!(value, "false" | "off" | "no" | "0") => {
                return Err(Error::unsupported(
                    "streaming replication",
                    "Connect without the \"replication\" parameter.",
                ));
            }
            "replication" => {}
            _ if name.starts_with("_pq_.") => {
                startup.negotiate = true;
                startup.unknown_options.push(name.to_owned());
            }
            _ => startup.parameters.push((name.to_owned(), value.to_owned())),
        }
        if startup.parameters.len() > MAX_PARAMETERS {
            return Err(violation("too many parameters in startup packet"));
        }
    }
    reader.end().map_err(|_| {
        violation("invalid startup packet layout: expected terminator as last byte")
    })?;
    if startup.user.is_empty() {
        return Err(Error::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    Ok(Opening::Start(startup))
}

/// Asks for the password and checks it against `verifier`.
///
/// # Errors
/// 28P01 when it is wrong, or when there is no verifier: the client cannot tell which.
pub async fn authenticate<T>(
    wire: &mut Wire<T>,
    user: &str,
    verifier: Option<&str>,
    secret: &[u8; 32],
    random: [u8; 18],
) -> Result<(), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mechanisms = format!("{}\0\0", scram::MECHANISM);
    backend::authentication(
        &mut wire.output,
        backend::AUTHENTICATION_SASL,
        mechanisms.as_bytes(),
    );
    wire.flush().await?;

    let mut exchange = scram::Exchange::new(user, verifier, secret);
    let message = read_password(wire).await?;
    let mut reader = Reader::new(&message);
    let mechanism = reader.cstr()?;
    if mechanism != scram::MECHANISM {
        return Err(violation("client selected an invalid SASL authentication mechanism").into());
    }
    let first = match reader.i32()? {
        // The client waits to be asked before it speaks: an empty challenge.
        -1 => {
            reader.end()?;
            backend::authentication(&mut wire.output, backend::AUTHENTICATION_SASL_CONTINUE, b"");
            wire.flush().await?;
            read_password(wire).await?
        }
        length => {
            let length =
                usize::try_from(length).map_err(|_| violation("invalid SASL response length"))?;
            let first = reader.bytes(length)?.to_vec();
            reader.end()?;
            first
        }
    };
    let challenge = exchange.first(frontend::text(&first)?, &random)?;
    backend::authentication(
        &mut wire.output,
        backend::AUTHENTICATION_SASL_CONTINUE,
        challenge.as_bytes(),
    );
    wire.flush().await?;

    let message = read_password(wire).await?;
    match exchange.last(frontend::text(&message)?)? {
        Some(last) => {
            let code = backend::AUTHENTICATION_SASL_FINAL;
            backend::authentication(&mut wire.output, code, last.as_bytes());
            Ok(())
        }
        None => Err(Error::new(
            SqlState::INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        )
        .into()),
    }
}

/// A `p` message: its body.
async fn read_password<T>(wire: &mut Wire<T>) -> Result<Vec<u8>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match wire.input().first() {
            Some(b'p') => {}
            Some(b'X') => return Err(Failure::Gone),
            Some(other) => {
                let message = format!("expected SASL response, got message type {other}");
                return Err(violation(message).into());
            }
            None => {
                wire.fill().await?;
                continue;
            }
        }
        if let Some((&[_, a, b, c, d], _)) = wire.input().split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if !(4..=scram::MAX_MESSAGE).contains(&length) {
                return Err(violation("invalid message length").into());
            }
            if let Some(body) = wire.input().get(5..=length) {
                let body = body.to_vec();
                wire.consume(length + 1);
                return Ok(body);
            }
        }
        wire.fill().await?;
    }
}
