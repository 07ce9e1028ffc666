//! A small blocking client for the PostgreSQL protocol, version 3.
//!
//! Drivers hide what these tests look at: command tags, notices, type OIDs in simple queries, text
//! results in the extended protocol, single messages. This client hides nothing and depends on
//! nothing, so that a driver's bug is never mistaken for the server's.

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long an answer may take before the test fails.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest message that a test accepts.
const MAX_MESSAGE: usize = 64 << 20;

/// Where a server listens and who connects.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
}

impl Address {
    pub fn socket(&self) -> io::Result<SocketAddr> {
        (self.host.as_str(), self.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("the host has no address"))
    }
}

/// The fields of an error or a notice, by their protocol letter.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub fields: Vec<(char, String)>,
}

impl Report {
    pub fn get(&self, letter: char) -> &str {
        self.fields
            .iter()
            .find(|(name, _)| *name == letter)
            .map_or("", |(_, value)| value)
    }

    pub fn code(&self) -> &str {
        self.get('C')
    }

    pub fn message(&self) -> &str {
        self.get('M')
    }

    fn io(error: &io::Error) -> Report {
        Report {
            fields: vec![
                ('C', "08006".to_owned()),
                ('M', format!("the connection broke: {error}")),
            ],
        }
    }
}

/// `SQLSTATE: message`, and the detail of a constraint violation: it names the key.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())?;
        if self.code().starts_with("23") && !self.get('D').is_empty() {
            write!(f, " ({})", self.get('D'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

impl From<io::Error> for Report {
    fn from(error: io::Error) -> Self {
        Report::io(&error)
    }
}

/// A column of a result: name, type OID, type modifier, format code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub oid: u32,
    pub modifier: i32,
    pub format: i16,
}

/// What one statement gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None` when the statement returns no rows.
    pub columns: Option<Vec<Column>>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// `INSERT 0 1`; empty when the query was empty or its portal was suspended.
    pub tag: String,
    pub suspended: bool,
}

impl Outcome {
    /// The rows as text; NULL is `None`.
    pub fn text(&self) -> Vec<Vec<Option<String>>> {
        let cell = |cell: &Option<Vec<u8>>| {
            cell.as_ref()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        self.rows
            .iter()
            .map(|row| row.iter().map(cell).collect())
            .collect()
    }

    /// The number at the end of the tag.
    pub fn count(&self) -> u64 {
        let last = self.tag.rsplit(' ').next();
        last.and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

/// A message of the server: its letter and its body.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: char,
    pub body: Vec<u8>,
}

pub struct Client {
    stream: BufReader<TcpStream>,
    pub address: Address,
    pub notices: Vec<Report>,
    pub parameters: Vec<(String, String)>,
    pub process_id: i32,
    pub secret: Vec<u8>,
    /// `I`, `T` or `E`, from the last `ReadyForQuery`.
    pub status: char,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}:{})", self.address.host, self.address.port)
    }
}

impl Client {
    pub fn connect(address: &Address) -> Result<Client, Report> {
        Self::connect_with(address, &[])
    }

    /// Connects with more start-up parameters; the server must trust the user.
    pub fn connect_with(address: &Address, parameters: &[(&str, &str)]) -> Result<Client, Report> {
        let stream = TcpStream::connect_timeout(&address.socket()?, ANSWER_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut client = Client {
            stream: BufReader::with_capacity(64 << 10, stream),
            address: address.clone(),
            notices: Vec::new(),
            parameters: Vec::new(),
            process_id: 0,
            secret: Vec::new(),
            status: 'I',
        };
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        let own = [
            ("user", address.user.as_str()),
            ("database", address.database.as_str()),
        ];
        for (name, value) in own.iter().chain(parameters) {
            put_string(&mut body, name);
            put_string(&mut body, value);
        }
        body.push(0);
        let mut message = length(body.len() + 4).to_vec();
        message.extend_from_slice(&body);
        client.send_raw(&message)?;
        client.until_ready()?;
        Ok(client)
    }

    /// Asks the server to cancel what the client with this key runs.
    pub fn cancel(address: &Address, process_id: i32, secret: &[u8]) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address.socket()?, ANSWER_TIMEOUT)?;
        let mut message = length(12 + secret.len()).to_vec();
        message.extend_from_slice(&80_877_102_i32.to_be_bytes());
        message.extend_from_slice(&process_id.to_be_bytes());
        message.extend_from_slice(secret);
        stream.write_all(&message)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let _closed = stream.read(&mut [0; 1])?;
        Ok(())
    }

    /// How long `receive` waits; a test that expects a statement to block sets it low.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))
    }

    /// Whether the server says something within this time; nothing is read.
    pub fn answers_within(&self, timeout: Duration) -> io::Result<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(timeout))?;
        let seen = stream.peek(&mut [0; 1]);
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        match seen {
            Ok(_) => Ok(true),
            Err(why)
                if matches!(
                    why.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(false)
            }
            Err(why) => Err(why),
        }
    }

    /// The socket a second time, to write from another thread while this one reads.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn send(&mut self, kind: char, body: &[u8]) -> io::Result<()> {
        let mut message = vec![kind as u8];
        message.extend_from_slice(&length(body.len() + 4));
        message.extend_from_slice(body);
        self.send_raw(&message)
    }

    /// The next message. Blocks up to the timeout.
    pub fn receive(&mut self) -> io::Result<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, size @ ..] = head;
        let size = u32::from_be_bytes(size) as usize;
        if !(4..=MAX_MESSAGE).contains(&size) {
            return Err(io::Error::other(format!("a message of {size} bytes")));
        }
        let mut body = vec![0; size - 4];
        self.stream.read_exact(&mut body)?;
        Ok(Message {
            kind: kind as char,
            body,
        })
    }

    /// Runs a simple query of any number of statements.
    ///
    /// # Errors
    /// The first error that the server reports.
    pub fn simple(&mut self, sql: &str) -> Result<Vec<Outcome>, Report> {
        self.send_query(sql)?;
        self.until_ready()
    }

    /// Sends a simple query and does not wait; [`Client::until_ready`] collects the answer.
    pub fn send_query(&mut self, sql: &str) -> io::Result<()> {
        let mut body = Vec::new();
        put_string(&mut body, sql);
        self.send('Q', &body)
    }

    /// Runs one statement through Parse, Bind, Describe, Execute and Sync, all in text format.
    pub fn extended(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Outcome, Report> {
        let mut all = Vec::new();
        put_message(&mut all, 'P', &parse_body("", sql, &[]));
        let values: Vec<_> = parameters
            .iter()
            .map(|value| value.map(str::as_bytes))
            .collect();
        put_message(&mut all, 'B', &bind_body("", "", &[], &values, &[]));
        put_message(&mut all, 'D', b"P\0");
        put_message(&mut all, 'E', &execute_body("", 0));
        put_message(&mut all, 'S', &[]);
        self.send_raw(&all)?;
        Ok(self.until_ready()?.into_iter().next().unwrap_or_default())
    }

    /// Reads up to `ReadyForQuery`; the outcomes, or the first error.
    pub fn until_ready(&mut self) -> Result<Vec<Outcome>, Report> {
        let mut outcomes = Vec::new();
        let mut now = Outcome::default();
        let mut failed = None;
        loop {
            let message = self.receive()?;
            let body = message.body.as_slice();
            match message.kind {
                'T' => now.columns = Some(read_columns(body)?),
                'n' => now.columns = None,
                'D' => now.rows.push(read_row(body)?),
                'C' => {
                    now.tag = read_string(body);
                    outcomes.push(std::mem::take(&mut now));
                }
                's' => {
                    now.suspended = true;
                    outcomes.push(std::mem::take(&mut now));
                }
                'I' => outcomes.push(std::mem::take(&mut now)),
                'E' => {
                    let report = read_report(body);
                    let fatal = matches!(report.get('S'), "FATAL" | "PANIC");
                    let report = failed.get_or_insert(report);
                    if fatal {
                        return Err(report.clone());
                    }
                }
                // A COPY FROM STDIN that nobody feeds ends here.
                'G' => self.send('f', b"no data\0")?,
                'Z' => {
                    self.status = body.first().map_or('?', |&b| b as char);
                    return failed.map_or(Ok(outcomes), Err);
                }
                _ => self.absorb(&message)?,
            }
        }
    }

    /// Messages that may come at any time, and those that mean nothing to a caller.
    pub fn absorb(&mut self, message: &Message) -> Result<(), Report> {
        let body = message.body.as_slice();
        match message.kind {
            'N' => self.notices.push(read_report(body)),
            'S' => {
                let name = read_string(body);
                let value = read_string(body.get(name.len() + 1..).unwrap_or_default());
                self.parameters.retain(|(known, _)| *known != name);
                self.parameters.push((name, value));
            }
            'K' => {
                self.process_id = int32(body, 0)?;
                self.secret = body.get(4..).unwrap_or_default().to_vec();
            }
            'R' if int32(body, 0)? == 0 => {}
            'R' => return Err(io::Error::other("the server asks for a password").into()),
            '1' | '2' | '3' | 't' | 'H' | 'd' | 'c' | 'A' => {}
            other => {
                return Err(io::Error::other(format!("unknown message {other:?}")).into());
            }
        }
        Ok(())
    }

    /// The single text value that a query gives.
    pub fn value(&mut self, sql: &str) -> Result<String, Report> {
        let outcomes = self.simple(sql)?;
        let cell = outcomes
            .last()
            .and_then(|outcome| outcome.rows.first()?.first()?.clone());
        Ok(cell.map_or_else(
            || "NULL".to_owned(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        ))
    }

    pub fn terminate(&mut self) {
        // A server that is gone already has nothing to be told.
        let _ = self.send('X', &[]);
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

pub fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

pub fn put_message(out: &mut Vec<u8>, kind: char, body: &[u8]) {
    out.push(kind as u8);
    out.extend_from_slice(&length(body.len() + 4));
    out.extend_from_slice(body);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

pub fn parse_body(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, name);
    put_string(&mut body, sql);
    put_count(&mut body, types.len());
    types
        .iter()
        .for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
    body
}

/// `formats` and `result_formats` as the protocol has them: none, one for all, or one for each.
pub fn bind_body(
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    result_formats: &[i16],
) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, portal);
    put_string(&mut body, statement);
    put_count(&mut body, formats.len());
    formats
        .iter()
        .for_each(|format| body.extend_from_slice(&format.to_be_bytes()));
    put_count(&mut body, values.len());
    for value in values {
        match value {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                body.extend_from_slice(&length(bytes.len()));
                body.extend_from_slice(bytes);
            }
        }
    }
    put_count(&mut body, result_formats.len());
    result_formats
        .iter()
        .for_each(|format| body.extend_from_slice(&format.to_be_bytes()));
    body
}

pub fn execute_body(portal: &str, max_rows: u32) -> Vec<u8> {
    let mut body = Vec::new();
    put_string(&mut body, portal);
    body.extend_from_slice(&max_rows.to_be_bytes());
    body
}

fn short() -> io::Error {
    io::Error::other("a message is shorter than it says")
}

fn int16(body: &[u8], at: usize) -> io::Result<i16> {
    let bytes = body.get(at..at + 2).ok_or_else(short)?;
    Ok(i16::from_be_bytes(bytes.try_into().map_err(|_| short())?))
}

fn int32(body: &[u8], at: usize) -> io::Result<i32> {
    let bytes = body.get(at..at + 4).ok_or_else(short)?;
    Ok(i32::from_be_bytes(bytes.try_into().map_err(|_| short())?))
}

fn read_string(body: &[u8]) -> String {
    let end = body.iter().position(|&b| b == 0).unwrap_or(body.len());
    String::from_utf8_lossy(body.get(..end).unwrap_or_default()).into_owned()
}

fn read_columns(body: &[u8]) -> io::Result<Vec<Column>> {
    let count = usize::try_from(int16(body, 0)?).map_err(|_| short())?;
    let mut at = 2;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let name = read_string(body.get(at..).ok_or_else(short)?);
        at += name.len() + 1;
        columns.push(Column {
            name,
            oid: int32(body, at + 6)?.cast_unsigned(),
            modifier: int32(body, at + 12)?,
            format: int16(body, at + 16)?,
        });
        at += 18;
    }
    Ok(columns)
}

fn read_row(body: &[u8]) -> io::Result<Vec<Option<Vec<u8>>>> {
    let count = usize::try_from(int16(body, 0)?).map_err(|_| short())?;
    let mut at = 2;
    let mut row = Vec::with_capacity(count);
    for _ in 0..count {
        let size = int32(body, at)?;
        at += 4;
        if size < 0 {
            row.push(None);
            continue;
        }
        let end = at + usize::try_from(size).map_err(|_| short())?;
        row.push(Some(body.get(at..end).ok_or_else(short)?.to_vec()));
        at = end;
    }
    Ok(row)
}

pub fn read_report(body: &[u8]) -> Report {
    let mut fields = Vec::new();
    let mut rest = body;
    while let Some((&letter, tail)) = rest.split_first() {
        if letter == 0 {
            break;
        }
        let value = read_string(tail);
        rest = tail.get(value.len() + 1..).unwrap_or_default();
        fields.push((letter as char, value));
    }
    Report { fields }
}
