//! How connections begin and end: limits, cancel, loss, panics, shutdown.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::client::*;
use super::mock::MockBackend;
use crate::wire::Peer;

#[tokio::test]
async fn encryption_is_declined() {
    let server = server(&MockBackend::default(), 10);
    let mut client = Client::open(&server, Peer::Trusted);
    for code in [80_877_104, 80_877_103] {
        client.send(&packet(code, b"")).await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut answer)
            .await
            .unwrap();
        assert_eq!(&answer, b"N");
    }
    assert_eq!(client.tags(&startup(V3, "tester")).await, "RSKZ");
}

#[tokio::test]
async fn newer_versions_are_negotiated() {
    let server = server(&MockBackend::default(), 10);
    let mut client = Client::open(&server, Peer::Trusted);
    let options = [
        cstr("user"),
        cstr("tester"),
        cstr("_pq_.trace"),
        cstr("1"),
        vec![0],
    ]
    .concat();
    client.send(&packet(V3 + 2, &options)).await;
    let answers = client.until_ready().await;
    assert_eq!(tags(&answers), "vRSKZ");
    assert_eq!(
        answers[0].body,
        [&[0, 0, 0, 0, 0, 0, 0, 1], cstr("_pq_.trace").as_slice()].concat()
    );
}

#[tokio::test]
async fn wrong_openings_are_refused() {
    let server = server(&MockBackend::default(), 10);
    let openings = [
        (packet(131_072, b""), "0A000"),
        (packet(V3, b"\0"), "28000"),
        (packet(V3, b"user\0x\0"), "08P01"),
        (packet(V3, b"user\0x\0\0more"), "08P01"),
        (packet(V3, b"user\0x\0replication\0database\0\0"), "0A000"),
        (vec![0, 0, 0, 3, 0, 0, 0, 0], "08P01"),
        (vec![255; 8], "08P01"),
    ];
    for (bytes, code) in openings {
        let mut client = Client::open(&server, Peer::Trusted);
        client.send(&bytes).await;
        client.expect_fatal(code).await;
    }
    assert!(server.registry.is_empty());
}

#[tokio::test]
async fn messages_that_are_none_end_the_connection() {
    let server = server(&MockBackend::default(), 10);
    for bytes in [
        b"\x01\0\0\0\x04".to_vec(),
        b"Q\0\0\0\x01".to_vec(),
        b"Z".to_vec(),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(&bytes).await;
        client.expect_fatal("08P01").await;
    }
    // Small messages have a small bound.
    let mut client = Client::connect(&server).await;
    client.send(b"S\x10\0\0\0").await;
    client.expect_fatal("08P01").await;
}

#[tokio::test]
async fn connections_are_limited() {
    let server = server(&MockBackend::default(), 2);
    let first = Client::connect(&server).await;
    let _second = Client::connect(&server).await;
    let mut third = Client::open(&server, Peer::Trusted);
    third.send(&startup(V3, "tester")).await;
    let error = third.expect_fatal("53300").await;
    assert_eq!(
        error.field(b'M').as_deref(),
        Some("sorry, too many clients already")
    );
    drop(first.stream);
    first.task.await.unwrap();
    Client::connect(&server).await;
}

#[tokio::test]
async fn roles_have_limits_too() {
    let server = server(&MockBackend::default(), 10);
    let mut first = Client::open(&server, Peer::Trusted);
    assert_eq!(first.tags(&startup(V3, "one")).await, "RSKZ");
    let mut second = Client::open(&server, Peer::Trusted);
    second.send(&startup(V3, "one")).await;
    second.expect_fatal("53300").await;
}

#[tokio::test]
async fn cancel_requests() {
    let server = server(&MockBackend::default(), 10);
    let (mut client, keys) = Client::connect_keys(&server).await;
    client.send(&query("sleep")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    // A wrong secret does nothing.
    let mut wrong = keys.clone();
    wrong[7] ^= 1;
    for keys in [wrong, keys] {
        let mut other = Client::open(&server, Peer::Remote);
        other.send(&packet(80_877_102, &keys)).await;
        assert!(other.next().await.is_none());
    }
    let answers = client.until_ready().await;
    assert_eq!(tags(&answers), "EZ");
    assert_eq!(answers[0].field(b'C').as_deref(), Some("57014"));
    let text = "canceling statement due to user request";
    assert_eq!(answers[0].field(b'M').as_deref(), Some(text));
    assert_eq!(client.tags(&query("rows 1")).await, "TDCZ");
}

#[tokio::test]
async fn a_lost_client_stops_its_statement() {
    let backend = MockBackend::default();
    let server = server(&backend, 10);
    let mut client = Client::connect(&server).await;
    client.send(&query("sleep")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(client.stream);
    tokio::time::timeout(PATIENCE, client.task)
        .await
        .unwrap()
        .unwrap();
    let error = backend.seen.interrupted.lock().clone().unwrap();
    assert_eq!(error.state().code(), "08006");
    assert_eq!(backend.seen.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let backend = MockBackend::default();
    let server = server(&backend, 10);
    let mut other = Client::connect(&server).await;
    let mut client = Client::connect(&server).await;
    client.send(&query("panic")).await;
    client.expect_fatal("XX000").await;
    client.task.await.unwrap();
    assert_eq!(backend.seen.open.load(Ordering::SeqCst), 1);
    assert_eq!(other.tags(&query("rows 1")).await, "TDCZ");
}

#[tokio::test]
async fn a_stop_ends_idle_sessions_and_lets_statements_finish() {
    let backend = MockBackend::default();
    let server = server(&backend, 10);
    let mut idle = Client::connect(&server).await;
    let mut busy = Client::connect(&server).await;
    busy.send(&query("sleep")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.registry.stop();
    let error = idle.expect_fatal("57P01").await;
    let text = "terminating connection due to administrator command";
    assert_eq!(error.field(b'M').as_deref(), Some(text));
    let mut late = Client::open(&server, Peer::Trusted);
    late.send(&startup(V3, "tester")).await;
    late.expect_fatal("57P03").await;
    assert!(!busy.task.is_finished());
    server.registry.interrupt_all();
    busy.expect_fatal("57P01").await;
    busy.task.await.unwrap();
    assert!(server.registry.is_empty());
}

#[tokio::test]
async fn idling_in_a_transaction_has_a_limit() {
    let backend = MockBackend {
        idle_limit: 30,
        ..MockBackend::default()
    };
    let server = server(&backend, 10);
    let mut client = Client::connect(&server).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(client.tags(&query("begin")).await, "CZ");
    client.expect_fatal("25P03").await;
}
