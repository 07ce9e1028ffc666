//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it: the user's
//! name comes from the start-up packet, and only a verifier is known, never a password.
//!
//! A user who does not exist, or has no password, gets an exchange that looks like any other (the
//! salt is made from the name and a secret of this server) and fails at its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use omendb_core::error::{Error, Result, SqlState};
use sha2::{Digest, Sha256};

pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Iterations that PostgreSQL's verifiers have, and so ours for users without one.
const MOCK_ITERATIONS: u32 = 4096;
/// The largest message of the exchange (`PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MAX_MESSAGE: usize = 1024;

type Key = [u8; 32];

/// A stored verifier: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
struct Verifier {
    iterations: u32,
    salt: String,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    fn parse(text: &str) -> Option<Verifier> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| -> Option<Key> { BASE64.decode(text).ok()?.try_into().ok() };
        Some(Verifier {
            iterations: iterations.parse().ok()?,
            salt: salt.to_owned(),
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    fn mock(user: &str, secret: &Key) -> Verifier {
        let salt = hmac(secret, &[user.as_bytes()]);
        Verifier {
            iterations: MOCK_ITERATIONS,
            salt: BASE64.encode(salt.first_chunk::<16>().unwrap_or(&[0; 16])),
            stored_key: *secret,
            server_key: *secret,
        }
    }
}

fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    // A key shorter than a block stands for itself followed by zeros (RFC 2104).
    let mut block = [0; 64];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte = *key;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for part in parts {
        Mac::update(&mut mac, part);
    }
    mac.finalize().into_bytes().into()
}

fn violation(message: &str) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message").detail(message)
}

/// One exchange.
pub struct Exchange {
    verifier: Verifier,
    /// There is no password: the exchange fails whatever the client sends.
    doomed: bool,
    header: String,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// `secret` is this server's own; `verifier` is the user's, if there is one.
    pub fn new(user: &str, verifier: Option<&str>, secret: &Key) -> Self {
        let known = verifier.and_then(Verifier::parse);
        Exchange {
            doomed: known.is_none(),
            verifier: known.unwrap_or_else(|| Verifier::mock(user, secret)),
            header: String::new(),
            client_first_bare: String::new(),
            server_first: String::new(),
            nonce: String::new(),
        }
    }

    /// Takes client-first-message and gives server-first-message; `random` is 18 fresh bytes.
    pub fn first(&mut self, message: &str, random: &[u8]) -> Result<String> {
        let mut parts = message.splitn(3, ',');
        let (Some(binding), Some(identity), Some(bare)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(violation("The message is too short."));
        };
        match binding {
            // "y": the client could bind to the channel and believes that we cannot. We cannot.
            "n" | "y" => {}
            binding if binding.starts_with("p=") => {
                return Err(violation("Channel binding was not offered."));
            }
            _ => return Err(violation("Unexpected channel-binding flag.")),
        }
        if !identity.is_empty() {
            return Err(Error::unsupported(
                "a SCRAM authorization identity",
                "Connect as the user whose rights are wanted.",
            ));
        }
        let mut attributes = bare.split(',');
        if attributes.next().is_some_and(|a| a.starts_with("m=")) {
            return Err(violation(
                "The client requires an unsupported SCRAM extension.",
            ));
        }
        let nonce = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty())
            .ok_or_else(|| violation("The nonce is missing."))?;
        if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(violation("Non-printable characters in SCRAM nonce."));
        }
        self.header = format!("{binding},{identity},");
        self.client_first_bare = bare.to_owned();
        self.nonce = format!("{nonce}{}", BASE64.encode(random));
        self.server_first = format!(
            "r={},s={},i={}",
            self.nonce, self.verifier.salt, self.verifier.iterations
        );
        Ok(self.server_first.clone())
    }

    /// Takes client-final-message and gives server-final-message; `None`: the password is wrong.
    pub fn last(&self, message: &str) -> Result<Option<String>> {
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or_else(|| violation("The proof is missing."))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c="));
        if binding != Some(BASE64.encode(&self.header).as_str()) {
            return Err(violation("Unexpected channel-binding data."));
        }
        if attributes.next().and_then(|a| a.strip_prefix("r=")) != Some(self.nonce.as_str()) {
            return Err(violation("Nonce does not match."));
        }
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(|| violation("Malformed proof."))?;

        let auth_message = [
            self.client_first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        let signature = hmac(&self.verifier.stored_key, &auth_message);
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let hash: Key = Sha256::digest(client_key).into();
        // Every byte is compared, so that the time taken tells nothing.
        let difference = hash
            .iter()
            .zip(self.verifier.stored_key)
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        if difference != 0 || self.doomed {
            return Ok(None);
        }
        let server = hmac(&self.verifier.server_key, &auth_message);
        Ok(Some(format!("v={}", BASE64.encode(server))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3 (user "user", password "pencil"), with its nonces.
    #[test]
    fn agrees_with_the_rfc() {
        let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
            $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let mut exchange = Exchange::new("user", Some(verifier), &[0; 32]);
        exchange
            .first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", b"")
            .unwrap();
        // The server's nonce is random; the RFC's is put in its place.
        exchange.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into();
        exchange.server_first = format!("r={},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", exchange.nonce);
        let last = format!(
            "c=biws,r={},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            exchange.nonce
        );
        assert_eq!(
            exchange.last(&last).unwrap().as_deref(),
            Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
        let wrong = last.replace("p=dHz", "p=dHy");
        assert_eq!(exchange.last(&wrong).unwrap(), None);
    }

    #[test]
    fn a_user_without_a_password_looks_like_any_other() {
        let secret = [7; 32];
        let mut one = Exchange::new("nobody", None, &secret);
        let mut two = Exchange::new("nobody", None, &secret);
        let first = one.first("y,,n=,r=abc", b"123").unwrap();
        assert_eq!(first, two.first("y,,n=,r=abc", b"123").unwrap());
        assert!(first.ends_with(",i=4096"));
        let proof = BASE64.encode([0; 32]);
        let last = format!("c={},r={},p={proof}", BASE64.encode("y,,"), one.nonce);
        assert_eq!(one.last(&last).unwrap(), None);
    }
}
