//! SCRAM-SHA-256 verifiers in PostgreSQL's form (RFC 5802, RFC 7677): what is stored instead of a
//! password. `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, the binary parts in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::env::Entropy;
use crate::error::{Error, Result};

/// PostgreSQL's own number of PBKDF2 iterations.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The verifier of a password; one that already is a verifier stays as it is.
pub(super) fn verifier(password: &str, entropy: &dyn Entropy) -> Result<String> {
    if is_verifier(password) {
        return Ok(password.to_owned());
    }
    let mut salt = [0_u8; SALT_BYTES];
    entropy.fill(&mut salt);
    make(password, &salt, ITERATIONS)
}

/// Whether the text is a verifier rather than a password.
fn is_verifier(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("SCRAM-SHA-256$") else {
        return false;
    };
    let Some((cost, keys)) = rest.split_once('$') else {
        return false;
    };
    let (Some((iterations, salt)), Some((stored, server))) =
        (cost.split_once(':'), keys.split_once(':'))
    else {
        return false;
    };
    let is_hash = |text: &str| {
        STANDARD
            .decode(text)
            .is_ok_and(|key| key.len() == HASH_BYTES)
    };
    iterations.parse::<u32>().is_ok_and(|count| count > 0)
        && STANDARD.decode(salt).is_ok()
        && is_hash(stored)
        && is_hash(server)
}

fn make(password: &str, salt: &[u8], iterations: u32) -> Result<String> {
    // Hi() of RFC 5802: PBKDF2 with one block of output.
    let mut block = mac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()])?;
    let mut salted = block;
    for _ in 1..iterations {
        block = mac(password.as_bytes(), &[&block])?;
        for (sum, byte) in salted.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    let client_key = mac(&salted, &[b"Client Key"])?;
    let stored_key = Sha256::digest(client_key);
    let server_key = mac(&salted, &[b"Server Key"])?;
    Ok(format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    ))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; HASH_BYTES]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| Error::internal("HMAC takes keys of any length"))?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verifier that PostgreSQL 15 stores for this password and salt.
    #[test]
    fn verifiers_are_those_of_postgresql() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        // RFC 7677's example: user "user", password "pencil", 4096 iterations.
        let made = make("pencil", &salt, 4096).unwrap();
        assert_eq!(
            made,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
             $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(is_verifier(&made));
        assert!(!is_verifier("SCRAM-SHA-256$secret"));
    }
}
