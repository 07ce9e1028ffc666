//! SCRAM with a client that others wrote.

use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

use super::client::{Client, PATIENCE, TestServer, V3, server, startup};
use super::mock::MockBackend;
use crate::wire::Peer;

async fn login(
    server: &TestServer,
    user: &str,
    password: &str,
) -> Result<String, tokio_postgres::Error> {
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = Arc::clone(server);
    tokio::spawn(async move { server.serve(theirs, Peer::Remote).await });
    let mut config = Config::new();
    config.user(user).password(password);
    let connecting = config.connect_raw(ours, NoTls);
    let (client, connection) = tokio::time::timeout(PATIENCE, connecting).await.unwrap()?;
    let parameter = connection.parameter("application_name").map(str::to_owned);
    tokio::spawn(connection);
    client.simple_query("rows 1").await?;
    Ok(parameter.unwrap_or_default())
}

#[tokio::test]
async fn the_right_password_opens() {
    let server = server(&MockBackend::default(), 10);
    assert_eq!(login(&server, "user", "pencil").await.unwrap(), "user");
}

#[tokio::test]
async fn all_wrong_logins_look_the_same() {
    let server = server(&MockBackend::default(), 10);
    for (user, password) in [("user", "pen"), ("nobody", "pencil"), ("open", "pencil")] {
        let error = login(&server, user, password).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD), "{user}");
        let message = error.as_db_error().unwrap().message().to_owned();
        assert_eq!(
            message,
            format!("password authentication failed for user \"{user}\"")
        );
    }
    assert!(server.registry.is_empty());
}

#[tokio::test]
async fn trusted_clients_need_a_role_but_no_password() {
    let server = server(&MockBackend::default(), 10);
    let mut client = Client::open(&server, Peer::Trusted);
    client.send(&startup(V3, "nobody")).await;
    client.expect_fatal("28000").await;
}
