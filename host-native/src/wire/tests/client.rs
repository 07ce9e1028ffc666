//! A client that speaks bytes, so that tests see exactly what is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::mock::MockBackend;
use crate::env::SystemEntropy;
use crate::wire::{Peer, Server};

/// Nothing in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that the stream holds in each direction, like the buffers of a socket.
pub const PIPE: usize = 4096;

pub type TestServer = Arc<Server<MockBackend>>;

pub fn server(backend: &MockBackend, max_connections: usize) -> TestServer {
    let entropy = Arc::new(SystemEntropy::new());
    Arc::new(Server::new(
        backend.clone(),
        max_connections,
        None,
        entropy,
        Handle::current(),
    ))
}

/// A message of the client.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub fn cstr(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &cstr(sql))
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[cstr(name), cstr(sql), vec![0, 0]].concat())
}

/// Bind with text parameters.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Vec<u8> {
    let mut body = [cstr(portal), cstr(statement), vec![0, 0]].concat();
    body.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(text) => {
                body.extend_from_slice(&(text.len() as u32).to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    body.extend_from_slice(&[0, 0]);
    message(b'B', &body)
}

pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    message(b'D', &[vec![kind], cstr(name)].concat())
}

pub fn execute(portal: &str, limit: u32) -> Vec<u8> {
    message(b'E', &[cstr(portal), limit.to_be_bytes().to_vec()].concat())
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// A packet before the session: no type.
pub fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub fn startup(version: u32, user: &str) -> Vec<u8> {
    packet(version, &[cstr("user"), cstr(user), vec![0]].concat())
}

pub const V3: u32 = 196_608;

/// A message of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Answer {
    /// A field of an error or a notice.
    pub fn field(&self, code: u8) -> Option<String> {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?}");
        self.body
            .split(|&byte| byte == 0)
            .find(|field| field.first() == Some(&code))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .trim_end_matches('\0')
            .to_owned()
    }
}

pub struct Client {
    pub stream: DuplexStream,
    pub task: JoinHandle<()>,
}

impl Client {
    /// Connects without saying anything.
    pub fn open(server: &TestServer, peer: Peer) -> Client {
        Client::open_wide(server, peer, PIPE)
    }

    /// Connects by a stream that holds so many bytes.
    pub fn open_wide(server: &TestServer, peer: Peer, pipe: usize) -> Client {
        let (stream, theirs) = tokio::io::duplex(pipe);
        let server = server.clone();
        let task = tokio::spawn(async move { server.serve(theirs, peer).await });
        Client { stream, task }
    }

    /// Connects as far as the first ReadyForQuery.
    pub async fn connect(server: &TestServer) -> Client {
        Client::connect_keys(server).await.0
    }

    /// The same, with the data of BackendKeyData.
    pub async fn connect_keys(server: &TestServer) -> (Client, Vec<u8>) {
        let mut client = Client::open(server, Peer::Trusted);
        client.send(&startup(V3, "tester")).await;
        let answers = client.until_ready().await;
        let tags: Vec<u8> = answers.iter().map(|answer| answer.tag).collect();
        assert_eq!(tags, b"RSKZ");
        let keys = answers[2].body.clone();
        (client, keys)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        tokio::time::timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// The next message; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Answer> {
        let reading = async {
            let tag = self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()? as usize;
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Answer { tag, body })
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("the server hangs")
    }

    /// All messages up to ReadyForQuery, or to the end.
    pub async fn until_ready(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await {
            let ready = answer.tag == b'Z';
            answers.push(answer);
            if ready {
                break;
            }
        }
        answers
    }

    /// Sends, and gives the answer's types up to ReadyForQuery.
    pub async fn tags(&mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        tags(&self.until_ready().await)
    }

    /// The connection ends with this FATAL error.
    pub async fn expect_fatal(&mut self, code: &str) -> Answer {
        let mut last = None;
        while let Some(answer) = self.next().await {
            last = Some(answer);
        }
        let last = last.expect("the server said nothing");
        assert_eq!(last.tag, b'E', "{last:?}");
        assert_eq!(last.field(b'S').as_deref(), Some("FATAL"));
        assert_eq!(
            last.field(b'C').as_deref(),
            Some(code),
            "{:?}",
            last.field(b'M')
        );
        last
    }
}

pub fn tags(answers: &[Answer]) -> String {
    answers.iter().map(|answer| answer.tag as char).collect()
}
