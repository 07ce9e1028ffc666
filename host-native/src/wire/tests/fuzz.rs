//! Hostile input: whatever comes, the server neither panics nor hangs.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::*;
use super::mock::MockBackend;
use crate::wire::Peer;

/// Messages that make sense, to be cut and changed.
fn sensible() -> impl Strategy<Value = Vec<u8>> {
    let sql = prop_oneof![
        Just("rows 3"),
        Just("rows 40"),
        Just("fail"),
        Just("copy in"),
        Just("copy out"),
        Just("begin"),
        Just(""),
        Just("notice"),
        Just("rows 2;copy in;rows 1"),
    ];
    let name = prop_oneof![Just(""), Just("a")];
    prop_oneof![
        sql.clone().prop_map(query),
        (name.clone(), sql).prop_map(|(name, sql)| parse(name, sql)),
        (name.clone(), name.clone()).prop_map(|(p, s)| bind(p, s, &[Some("1"), None])),
        (any::<bool>(), name.clone())
            .prop_map(|(s, name)| describe(if s { b'S' } else { b'P' }, name)),
        (name, 0..20_u32).prop_map(|(portal, limit)| execute(portal, limit)),
        Just(sync()),
        Just(message(b'H', b"")),
        Just(message(b'd', b"1\tx\n")),
        Just(message(b'd', b"bad")),
        Just(message(b'c', b"")),
        Just(message(b'f', b"why\0")),
        Just(message(b'F', b"\0\0\0\x01")),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Replace(usize, u8),
    Remove(usize),
    Insert(usize, u8),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        2 => any::<usize>().prop_map(Change::Remove),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => any::<usize>().prop_map(Change::Cut),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match *change {
            Change::Replace(at, byte) => bytes[at % len] = byte,
            Change::Remove(at) => drop(bytes.remove(at % len)),
            Change::Insert(at, byte) => bytes.insert(at % len, byte),
            Change::Cut(at) => bytes.truncate(at % len),
        }
    }
    bytes
}

/// Sends `bytes`, reads all answers, and waits for the end of the connection.
fn survives(bytes: Vec<u8>, pieces: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = server(&MockBackend::default(), 10);
        let client = Client::open(&server, Peer::Trusted);
        let (mut reader, mut writer) = tokio::io::split(client.stream);
        let writing = async {
            for piece in bytes.chunks(pieces.max(1)) {
                if writer.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let mut answers = Vec::new();
        let reading = reader.read_to_end(&mut answers);
        let all = async { tokio::join!(writing, reading, client.task) };
        let ended = tokio::time::timeout(PATIENCE, all)
            .await
            .expect("the server hangs");
        ended.2.expect("the server panicked");
        assert!(server.registry.is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), pieces in 1..400_usize) {
        survives(bytes, pieces);
    }

    #[test]
    fn random_bytes_in_a_session(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        pieces in 1..400_usize,
    ) {
        survives([startup(V3, "tester"), bytes].concat(), pieces);
    }

    #[test]
    fn changed_messages(
        messages in prop::collection::vec(sensible(), 1..20),
        changes in prop::collection::vec(change(), 0..6),
        pieces in 1..400_usize,
    ) {
        let bytes = changed(messages.concat(), &changes);
        survives([startup(V3, "tester"), bytes].concat(), pieces);
    }

    #[test]
    fn changed_openings(
        changes in prop::collection::vec(change(), 1..4),
        pieces in 1..40_usize,
    ) {
        let opening = [packet(80_877_103, b""), startup(V3, "tester"), query("rows 1")].concat();
        survives(changed(opening, &changes), pieces);
    }
}
