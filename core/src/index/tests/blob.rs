//! The index as bytes, and what damage does to it: refused when noticed, slow when not, never wrong.

use proptest::prelude::*;

use super::super::rmi::{Node, Slot};
use super::super::{Index, Model, Words, batch};
use super::strings::Strings;
use super::words::{distributions, probes};
use super::{Random, indexes, seed, verify};

#[test]
fn comes_back_as_it_was() {
    let mut random = Random(seed("comes_back_as_it_was"));
    for (name, keys) in distributions(&mut random) {
        let column = Words::new(&keys);
        for index in indexes(&column) {
            let read = Index::decode(&index.encode()).unwrap();
            assert_eq!(read, index, "{name}");
            read.fits(&column).unwrap();
        }
    }
    let strings = Strings::of(&[b"aaa1".to_vec(), b"aaa2".to_vec(), b"aab".to_vec()]);
    let column = strings.column();
    for index in indexes(&column) {
        let read = Index::decode(&index.encode()).unwrap();
        assert_eq!(read, index);
        read.fits(&column).unwrap();
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let keys: Vec<u64> = (0..150).map(|i| i * i).collect();
    for index in indexes(&Words::new(&keys)) {
        let blob = index.encode();
        for at in 0..blob.len() {
            for flip in [1, 0xff] {
                let mut damaged = blob.clone();
                damaged[at] ^= flip;
                let error = Index::decode(&damaged).unwrap_err();
                assert_eq!(error.state().code(), "XX001", "byte {at}");
            }
            assert!(Index::decode(&blob[..at]).is_err(), "cut at {at}");
        }
        assert!(Index::decode(&[blob.as_slice(), &[0]].concat()).is_err());
    }
}

#[test]
fn other_keys_are_noticed() {
    let keys: Vec<u64> = (0..2000).collect();
    let index = Index::build(&Words::new(&keys), None).unwrap();
    index.fits(&Words::new(&keys)).unwrap();
    assert!(index.fits(&Words::new(&keys[1..])).is_err());
    assert!(index.fits(&Words::new(&keys[..1999])).is_err());
    let shifted: Vec<u64> = (1..2001).collect();
    assert!(index.fits(&Words::new(&shifted)).is_err());
}

/// With a checksum that fits, so that what stands behind it is tried.
fn sealed(mut blob: Vec<u8>) -> Vec<u8> {
    let body = blob.len().saturating_sub(4);
    let checksum = super::super::checksum::crc32c(&blob[..body]);
    blob.splice(body.., checksum.to_le_bytes());
    blob
}

fn wrong(random: &mut Random, value: u64) -> u64 {
    match random.below(4) {
        0 => 0,
        1 => u64::MAX,
        2 => random.next(),
        _ => value ^ 1 << random.below(64),
    }
}

#[test]
fn a_wrong_model_still_answers_right() {
    let mut random = Random(seed("a_wrong_model_still_answers_right"));
    for (name, keys) in distributions(&mut random) {
        let column = Words::new(&keys);
        let probes: Vec<_> = probes(&keys, &mut random).into_iter().step_by(7).collect();
        let expected: Vec<_> = probes
            .iter()
            .map(|probe| {
                (
                    keys.partition_point(|key| key < probe),
                    keys.partition_point(|key| key <= probe),
                )
            })
            .collect();
        for mut index in indexes(&column) {
            damage(&mut index.model, &mut random);
            verify(&index, &column, &probes, &expected, name);
        }
        // A model of other keys.
        let other: Vec<u64> = (0..1000).map(|i| i << 30).collect();
        for index in indexes(&Words::new(&other)) {
            verify(&index, &column, &probes, &expected, name);
        }
    }
}

/// Changes much of a model to anything, in memory, past all checks.
fn damage(model: &mut Model, random: &mut Random) {
    match model {
        Model::Rmi(rmi) => {
            for node in rmi.nodes.iter_mut().chain([&mut rmi.root]) {
                if random.below(4) == 0 {
                    *node = Node {
                        origin: wrong(random, node.origin),
                        scale: f64::from_bits(wrong(random, node.scale.to_bits())),
                        first: wrong(random, node.first.into()) as u32,
                        count: wrong(random, node.count.into()) as u32,
                    };
                }
            }
            for slot in &mut rmi.slots {
                if random.below(3) == 0 {
                    *slot = Slot {
                        low: wrong(random, u64::from(slot.low as u32)) as i32,
                        slope: wrong(random, slot.slope.into()) as u16,
                        span: wrong(random, slot.span.into()) as u16,
                    };
                }
            }
        }
        Model::Tree(tree) => {
            for node in tree.levels.iter_mut().flatten() {
                for head in &mut node.0 {
                    if random.below(3) == 0 {
                        *head = wrong(random, *head);
                    }
                }
            }
        }
    }
}

#[test]
fn groups_of_every_size() {
    let keys: Vec<u64> = (0..1000).map(|i| i * 5).collect();
    let column = Words::new(&keys);
    for index in indexes(&column) {
        let mut answers = Vec::new();
        for count in 0..3 * batch::GROUP {
            let probes: Vec<u64> = (0..count as u64).map(|i| i * 37).collect();
            index.lower_bound_batch(&column, &probes, &mut answers);
            let expected: Vec<_> = probes
                .iter()
                .map(|probe| probe.div_ceil(5) as u32)
                .collect();
            assert_eq!(answers, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Hostile bytes are refused or make an index; no panic, no endless search, right answers.
    #[test]
    fn hostile_bytes(
        choice in 0_usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let keys: Vec<u64> = (0..600).map(|i| i * i * i).collect();
        let column = Words::new(&keys);
        let mut blob = indexes(&column)[choice].encode();
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Some(cut) = cut {
            blob.truncate(cut.index(blob.len()));
        }
        if let Ok(index) = Index::decode(&sealed(blob)) {
            for &key in &keys {
                let expected = keys.partition_point(|&other| other < key);
                prop_assert_eq!(index.lower_bound(&column, key), expected);
            }
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Index::decode(&bytes).is_err());
        let _ = Index::decode(&sealed(bytes));
    }
}
