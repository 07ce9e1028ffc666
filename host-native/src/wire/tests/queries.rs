//! Simple and extended queries, portals, pipelines, COPY.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::unconstrained;

use super::client::*;
use super::mock::{BLOCK, MockBackend};
use crate::wire::Peer;

async fn start() -> (MockBackend, Client) {
    let backend = MockBackend::default();
    let client = Client::connect(&server(&backend, 10)).await;
    (backend, client)
}

#[tokio::test]
async fn simple_queries() {
    let (_, mut client) = start().await;
    assert_eq!(client.tags(&query("rows 2")).await, "TDDCZ");
    assert_eq!(client.tags(&query("")).await, "IZ");
    assert_eq!(client.tags(&query("rows 1;rows 1")).await, "TDCTDCZ");
    assert_eq!(client.tags(&query("notice")).await, "NCZ");
    // An error ends the whole query string.
    client.send(&query("rows 1;fail;rows 1")).await;
    let answers = client.until_ready().await;
    assert_eq!(tags(&answers), "TDCEZ");
    assert_eq!(answers[3].field(b'C').as_deref(), Some("22012"));
    assert_eq!(answers[3].field(b'V').as_deref(), Some("ERROR"));
    assert_eq!(answers[3].field(b'P').as_deref(), Some("3"));
    assert_eq!(client.tags(&query("begin")).await, "CZ");
}

#[tokio::test]
async fn row_contents() {
    let (_, mut client) = start().await;
    client.send(&query("rows 1")).await;
    let answers = client.until_ready().await;
    assert_eq!(
        answers[1].body,
        [0, 2, 0, 0, 0, 1, b'0', 255, 255, 255, 255]
    );
    assert_eq!(answers[2].text(), "SELECT 1");
}

#[tokio::test]
async fn status_is_reported() {
    let (_, mut client) = start().await;
    client.send(&query("begin")).await;
    assert_eq!(client.until_ready().await[1].body, b"T");
    client.send(&query("commit")).await;
    assert_eq!(client.until_ready().await[1].body, b"I");
}

#[tokio::test]
async fn extended_queries() {
    let (backend, mut client) = start().await;
    let batch = [
        parse("s", "rows 3"),
        describe(b'S', "s"),
        bind("", "s", &[Some("7"), None]),
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ];
    assert_eq!(client.tags(&batch.concat()).await, "1tT2TDDDCZ");
    assert_eq!(*backend.seen.bound.lock(), [Some(b"7".to_vec()), None]);
    let batch = [
        parse("", "begin"),
        describe(b'S', ""),
        bind("", "", &[]),
        describe(b'P', ""),
    ];
    assert_eq!(
        client
            .tags(&[batch.concat(), execute("", 0), sync()].concat())
            .await,
        "1tn2nCZ"
    );
    let close = message(b'C', &[b"S".to_vec(), cstr("s")].concat());
    assert_eq!(client.tags(&[close, sync()].concat()).await, "3Z");
}

#[tokio::test]
async fn errors_skip_to_sync() {
    let (_, mut client) = start().await;
    let batch = [
        bind("", "missing", &[]),
        execute("", 0),
        query("rows 1"),
        sync(),
        parse("", "rows 1"),
        sync(),
    ];
    client.send(&batch.concat()).await;
    assert_eq!(tags(&client.until_ready().await), "EZ");
    assert_eq!(tags(&client.until_ready().await), "1Z");
    // A body that is malformed is an error of this message only.
    assert_eq!(
        client.tags(&[message(b'B', b"x"), sync()].concat()).await,
        "EZ"
    );
    assert_eq!(
        client
            .tags(&[message(b'D', b"Qx\0"), sync()].concat())
            .await,
        "EZ"
    );
    assert_eq!(client.tags(&message(b'Q', b"no zero")).await, "EZ");
    client.send(&message(b'Q', b"\xff\0")).await;
    let answers = client.until_ready().await;
    assert_eq!(answers[0].field(b'C').as_deref(), Some("22021"));
    assert_eq!(client.tags(&query("rows 1")).await, "TDCZ");
}

#[tokio::test]
async fn function_calls_are_refused() {
    let (_, mut client) = start().await;
    client.send(&message(b'F', &[0; 10])).await;
    let answers = client.until_ready().await;
    assert_eq!(tags(&answers), "EZ");
    assert_eq!(answers[0].field(b'C').as_deref(), Some("0A000"));
}

#[tokio::test]
async fn portals_suspend() {
    let (_, mut client) = start().await;
    let rows = BLOCK * 2 + 5;
    let open = [
        parse("", &format!("rows {rows}")),
        bind("p", "", &[]),
        execute("p", 12),
        sync(),
    ];
    assert_eq!(
        client.tags(&open.concat()).await,
        format!("12{}sZ", "D".repeat(12))
    );
    let more = [execute("p", 12), execute("p", 12), sync()].concat();
    assert_eq!(client.tags(&more).await, format!("{}sDCZ", "D".repeat(12)));
}

#[tokio::test]
async fn a_portal_suspends_at_exactly_its_limit() {
    let (_, mut client) = start().await;
    let open = [
        parse("", "rows 3"),
        bind("", "", &[]),
        execute("", 3),
        execute("", 3),
        sync(),
    ];
    assert_eq!(client.tags(&open.concat()).await, "12DDDsCZ");
}

#[tokio::test]
async fn pipelines() {
    let (_, mut client) = start().await;
    client.send(&[parse("s", "rows 1"), sync()].concat()).await;
    client.until_ready().await;
    let one = [bind("", "s", &[]), execute("", 0), sync()].concat();
    // Much more than both buffers hold: the server has to read on while its answers wait.
    let many = one.repeat(500);
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &many)
            .await
            .unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut bytes = vec![0; 500 * (5 + 16 + 14 + 6)];
    let reading = tokio::io::AsyncReadExt::read_exact(&mut reader, &mut bytes);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    writing.await.unwrap();
    assert_eq!(&bytes[bytes.len() - 6..], b"Z\0\0\0\x05I");
}

#[tokio::test]
async fn flush_answers_without_sync() {
    let (_, mut client) = start().await;
    client
        .send(&[parse("", "rows 1"), message(b'H', b"")].concat())
        .await;
    assert_eq!(client.next().await.unwrap().tag, b'1');
}

#[tokio::test]
async fn answers_go_out_while_the_next_statement_runs() {
    let (_, mut client) = start().await;
    let sleep = [
        parse("", "sleep"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ]
    .concat();
    client.send(&[query("rows 1"), sleep].concat()).await;
    assert_eq!(tags(&client.until_ready().await), "TDCZ");
}

#[tokio::test]
async fn a_slow_reader_stops_the_statement() {
    let (backend, mut client) = start().await;
    let total = 1_000_000;
    client.send(&query(&format!("rows {total}"))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ahead = backend.seen.rows.load(Ordering::SeqCst);
    assert!(
        ahead < 20_000,
        "{ahead} rows were pulled for a client that reads none"
    );
    for _ in 0..1000 {
        client.next().await.unwrap();
    }
}

#[tokio::test]
async fn copy_in_simple() {
    let (backend, mut client) = start().await;
    client.send(&query("copy in;rows 1")).await;
    let answer = client.next().await.unwrap();
    assert_eq!((answer.tag, answer.body), (b'G', vec![0, 0, 2, 0, 0, 0, 0]));
    let data = [
        message(b'd', b"1\ta\n"),
        message(b'd', b"2\tb\n"),
        message(b'c', b""),
    ];
    assert_eq!(client.tags(&data.concat()).await, "CTDCZ");
    assert_eq!(*backend.seen.copied.lock(), b"1\ta\n2\tb\n");
}

#[tokio::test]
async fn copy_in_extended() {
    let (_, mut client) = start().await;
    // The first Sync comes before the data, as tokio-postgres sends it.
    let open = [
        parse("", "copy in"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    client.send(&open.concat()).await;
    for tag in b"12G" {
        assert_eq!(client.next().await.unwrap().tag, *tag);
    }
    let data = [message(b'd', b"x"), message(b'c', b""), sync()];
    assert_eq!(client.tags(&data.concat()).await, "CZ");
}

#[tokio::test]
async fn copy_in_fails() {
    let (_, mut client) = start().await;
    client.send(&query("copy in")).await;
    client.next().await.unwrap();
    client.send(&message(b'f', b"no more\0")).await;
    let answers = client.until_ready().await;
    assert_eq!(tags(&answers), "EZ");
    assert_eq!(
        answers[0].field(b'M').as_deref(),
        Some("COPY from stdin failed: no more")
    );

    // What the client sends before it hears of an error is ignored.
    client.send(&query("copy in")).await;
    client.next().await.unwrap();
    let data = [
        message(b'd', b"bad"),
        message(b'd', b"x"),
        message(b'c', b""),
        query("rows 1"),
    ];
    client.send(&data.concat()).await;
    assert_eq!(tags(&client.until_ready().await), "EZ");
    assert_eq!(tags(&client.until_ready().await), "TDCZ");

    // A message that does not belong into a COPY ends it.
    client.send(&query("copy in")).await;
    client.next().await.unwrap();
    client.send(&query("rows 1")).await;
    let answers = client.until_ready().await;
    assert_eq!(answers[0].field(b'C').as_deref(), Some("08P01"));
    assert_eq!(client.tags(&query("rows 1")).await, "TDCZ");
}

#[tokio::test]
async fn copy_out() {
    let (_, mut client) = start().await;
    assert_eq!(client.tags(&query("copy out")).await, "HdcCZ");
    let batch = [
        parse("", "copy out"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(client.tags(&batch.concat()).await, "12HdcCZ");
}

#[tokio::test]
async fn who_sends_much_at_once_lets_others_in() {
    const BATCHES: usize = 5000;
    let backend = MockBackend::default();
    let server = server(&backend, 10);
    let mut many = Client::open_wide(&server, Peer::Trusted, 1 << 20);
    assert_eq!(many.tags(&startup(V3, "tester")).await, "RSKZ");
    let mut one = Client::connect(&server).await;
    assert_eq!(many.tags(&[parse("", ""), sync()].concat()).await, "1Z");

    let batch = [bind("", "", &[]), execute("", 0), sync()].concat();
    many.send(&batch.repeat(BATCHES)).await;
    assert_eq!(one.tags(&query("")).await, "IZ");
    let mut answers = 0;
    while let Some(answer) = unconstrained(many.next()).now_or_never() {
        answers += usize::from(answer.is_some_and(|answer| answer.tag == b'Z'));
    }
    assert!(answers < BATCHES / 2, "{answers} were answered before");
    for _ in answers..BATCHES {
        many.until_ready().await;
    }
}
