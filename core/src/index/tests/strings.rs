//! Columns of byte strings: text, uuid, composite keys, long common prefixes.

use proptest::prelude::*;

use super::super::bytes::{ByteKeys, BytesProbe};
use super::super::{Index, KeyColumn};
use super::{Random, bounds_are_exact, indexes, seed, verify};

/// Byte strings as a file holds them.
pub(super) struct Strings {
    pub offsets: Vec<u8>,
    pub bytes: Vec<u8>,
}

impl Strings {
    pub fn of(keys: &[Vec<u8>]) -> Strings {
        let mut strings = Strings {
            offsets: 0_u32.to_le_bytes().to_vec(),
            bytes: Vec::new(),
        };
        for key in keys {
            strings.bytes.extend_from_slice(key);
            let end = strings.bytes.len() as u32;
            strings.offsets.extend_from_slice(&end.to_le_bytes());
        }
        strings
    }

    pub fn column(&self) -> ByteKeys<'_> {
        ByteKeys::variable(&self.offsets, &self.bytes, None)
    }
}

fn word(random: &mut Random, length: u64, letters: u64) -> Vec<u8> {
    (0..random.below(length + 1))
        .map(|_| b'a' + random.below(letters) as u8)
        .collect()
}

fn distributions(random: &mut Random) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut all: Vec<(&'static str, Vec<Vec<u8>>)> = vec![
        ("nothing", vec![]),
        ("the empty string", vec![vec![]]),
        ("one", vec![b"key".to_vec()]),
        ("equal", vec![b"the same key".to_vec(); 2000]),
        (
            "prefixes of each other",
            (0..300).map(|n| vec![7; n]).collect(),
        ),
        ("zeros", (0..300).map(|n| vec![0; n]).collect()),
    ];
    all.push(("text", (0..5000).map(|_| word(random, 20, 26)).collect()));
    all.push((
        "text of two letters",
        (0..5000).map(|_| word(random, 14, 2)).collect(),
    ));
    all.push((
        "a long common prefix",
        (0..5000)
            .map(|i| format!("{}{i:08}", "https://example.org/a/path/".repeat(40)).into_bytes())
            .collect(),
    ));
    all.push((
        "long prefixes of some",
        (0..3000)
            .map(|i| {
                let group = ["x".repeat(100), "x".repeat(99), "y".repeat(50)];
                format!("{}{:04}", group[i % 3], i / 3).into_bytes()
            })
            .collect(),
    ));
    all.push((
        "a prefix beyond what heads reach",
        (0..30)
            .map(|i| [vec![b'p'; 70_000], format!("{i}").into_bytes()].concat())
            .collect(),
    ));
    all.push((
        "uuid",
        (0..5000)
            .map(|_| [random.next().to_be_bytes(), random.next().to_be_bytes()].concat())
            .collect(),
    ));
    all.push((
        "composite: tenant, timestamp",
        (0..20_000_u64)
            .map(|_| {
                let mut key = vec![1];
                key.extend((random.below(300) | 1 << 63).to_be_bytes());
                key.push(1);
                let micros = 820_000_000_000_000 + random.below(1 << 36);
                key.extend((micros | 1 << 63).to_be_bytes());
                key
            })
            .collect(),
    ));
    all.push((
        "composite: text, integer",
        (0..5000_u64)
            .map(|i| {
                let mut key = vec![1];
                key.extend(word(random, 3, 3));
                key.extend([0, 1, 1]);
                key.extend(((i / 10) | (1 << 63)).to_be_bytes());
                key
            })
            .collect(),
    ));
    for (_, keys) in &mut all {
        keys.sort_unstable();
    }
    all
}

/// Keys, keys with a byte more, less or changed, and anything else.
fn probes(keys: &[Vec<u8>], random: &mut Random) -> Vec<Vec<u8>> {
    let mut probes = vec![vec![], vec![0], vec![255; 40], vec![0; 40]];
    let step = (keys.len() / 400).max(1);
    for key in keys.iter().step_by(step) {
        probes.push(key.clone());
        for byte in [0, 1, 128, 255] {
            probes.push([key.as_slice(), &[byte]].concat());
        }
        probes.push(key.split_last().map_or(vec![], |(_, rest)| rest.to_vec()));
        for _ in 0..4 {
            let mut other = key.clone();
            let place = random.below(other.len() as u64) as usize;
            if let Some(byte) = other.get_mut(place) {
                *byte = match random.below(3) {
                    0 => byte.wrapping_add(1),
                    1 => byte.wrapping_sub(1),
                    _ => random.next() as u8,
                };
            }
            let length = random.below(2 * other.len() as u64 + 1) as usize;
            if random.below(2) == 0 {
                other.truncate(length);
            }
            probes.push(other);
        }
    }
    for _ in 0..100 {
        probes.push(word(random, 20, 26));
    }
    probes
}

fn check(keys: &[Vec<u8>], random: &mut Random, name: &str) {
    let strings = Strings::of(keys);
    let column = strings.column();
    let probes = probes(keys, random);
    let mut heads: Vec<_> = probes.iter().collect();
    heads.sort_unstable();
    let heads: Vec<_> = heads
        .into_iter()
        .map(|probe| column.probe_head(probe.as_slice().into()))
        .collect();
    assert!(heads.is_sorted(), "{name}: heads of probes are in order");
    for (at, key) in keys.iter().enumerate() {
        let head = column.head(at);
        assert_eq!(head, column.probe_head(key.as_slice().into()), "{name}");
    }
    let expected: Vec<_> = probes
        .iter()
        .map(|probe| {
            (
                keys.partition_point(|key| key < probe),
                keys.partition_point(|key| key <= probe),
            )
        })
        .collect();
    let probes: Vec<BytesProbe<'_>> = probes.iter().map(|probe| probe.as_slice().into()).collect();
    for index in indexes(&column) {
        verify(&index, &column, &probes, &expected, name);
        bounds_are_exact(&index, &column, &heads, name);
    }
}

#[test]
fn never_a_wrong_position() {
    let mut random = Random(seed("strings::never_a_wrong_position"));
    for (name, keys) in distributions(&mut random) {
        check(&keys, &mut random, name);
    }
}

#[test]
fn keys_of_one_width_need_no_offsets() {
    let mut random = Random(seed("keys_of_one_width"));
    let mut keys: Vec<_> = (0..5000)
        .map(|_| [random.next().to_be_bytes(), random.next().to_be_bytes()].concat())
        .collect();
    keys.sort_unstable();
    let strings = Strings::of(&keys);
    let fixed = ByteKeys::fixed(16, &strings.bytes, None);
    let index = Index::build(&fixed, None).unwrap();
    index.fits(&strings.column()).unwrap();
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(index.get(&fixed, key.as_slice().into()), Some(at));
    }
}

#[test]
fn constant_bytes_are_left_out_of_heads() {
    let keys: Vec<_> = (0..2000_u64)
        .map(|i| {
            let mut key = vec![1];
            key.extend(((i / 1000) | (1 << 63)).to_be_bytes());
            key.push(1);
            key.extend(((i % 1000) | (1 << 63)).to_be_bytes());
            key
        })
        .collect();
    let strings = Strings::of(&keys);
    let column = strings.column();
    // Tenant and number differ in three bytes, nine bytes apart: each key has a head of its own.
    let heads: Vec<_> = (0..keys.len()).map(|at| column.head(at)).collect();
    assert!(heads.is_sorted_by(|left, right| left < right));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_strings(
        mut keys in prop::collection::vec(prop::collection::vec(0_u8..4, 0..24), 0..300),
        prefix in prop::collection::vec(any::<u8>(), 0..12),
        noise in any::<u64>(),
    ) {
        for key in &mut keys {
            key.splice(0..0, prefix.iter().copied());
        }
        keys.sort_unstable();
        check(&keys, &mut Random(noise), "any strings");
    }
}
