//! The index as bytes; the format is in this folder's README.
//!
//! A blob is never authoritative: whoever reads one rebuilds the index from the keys when the blob is
//! refused. What is accepted is whole (checksum) and refers only to what exists (bounds).

use super::checksum::crc32c;
use super::head::{HEAD_BYTES, HeadLayout};
use super::rmi::{Node, Rmi, Slot};
use super::tree::{Tree, TreeNode, WIDTH};
use super::{Index, MAX_KEYS, Model};
use crate::error::{Error, Result};

const MAGIC: [u8; 4] = *b"OMDX";
/// The format that this build reads and writes.
pub const BLOB_VERSION: u16 = 1;

const RMI: u16 = 1;
const TREE: u16 = 2;

/// Bytes of a node, with its padding.
const NODE_BYTES: usize = 24;

fn corrupted(what: &str) -> Error {
    Error::corrupted(format!("learned index: {what}"))
}

impl Index {
    /// The index as a blob that [`Index::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + 128);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&BLOB_VERSION.to_le_bytes());
        let kind = match &self.model {
            Model::Rmi(_) => RMI,
            Model::Tree(_) => TREE,
        };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(self.count as u64).to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        for position in self.layout.positions() {
            out.extend_from_slice(&position.to_le_bytes());
        }
        match &self.model {
            Model::Rmi(rmi) => encode_rmi(rmi, &mut out),
            Model::Tree(tree) => {
                for head in tree.levels.iter().flatten().flat_map(|node| node.0) {
                    out.extend_from_slice(&head.to_le_bytes());
                }
            }
        }
        let checksum = crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a blob. Check with [`Index::fits`] that it is about the keys at hand.
    ///
    /// # Errors
    /// XX001 when the blob is not one that [`Index::encode`] of this version wrote.
    pub fn decode(blob: &[u8]) -> Result<Index> {
        let (body, checksum) = blob
            .split_last_chunk()
            .ok_or_else(|| corrupted("the blob is too short"))?;
        if crc32c(body) != u32::from_le_bytes(*checksum) {
            return Err(corrupted("the checksum does not match"));
        }
        let mut reader = Reader(body);
        if reader.take()? != MAGIC {
            return Err(corrupted("not an index"));
        }
        if u16::from_le_bytes(reader.take()?) != BLOB_VERSION {
            return Err(corrupted("another version of the format"));
        }
        let kind = u16::from_le_bytes(reader.take()?);
        let count = usize::try_from(reader.u64()?)
            .ok()
            .filter(|&count| count <= MAX_KEYS)
            .ok_or_else(|| corrupted("too many keys"))?;
        let (first, last) = (reader.u64()?, reader.u64()?);
        let mut positions = [0; HEAD_BYTES];
        for position in &mut positions {
            *position = u16::from_le_bytes(reader.take()?);
        }
        let layout = HeadLayout::from_positions(positions)
            .ok_or_else(|| corrupted("positions of head bytes that do not ascend"))?;
        let model = match kind {
            RMI => Model::Rmi(decode_rmi(&mut reader)?),
            TREE => Model::Tree(decode_tree(&mut reader, count)?),
            _ => return Err(corrupted("a model of an unknown kind")),
        };
        if !reader.0.is_empty() {
            return Err(corrupted("bytes behind the model"));
        }
        Ok(Index {
            count,
            first,
            last,
            layout,
            model,
        })
    }
}

fn encode_node(node: &Node, out: &mut Vec<u8>) {
    out.extend_from_slice(&node.origin.to_le_bytes());
    out.extend_from_slice(&node.scale.to_bits().to_le_bytes());
    out.extend_from_slice(&node.first.to_le_bytes());
    out.extend_from_slice(&node.count.to_le_bytes());
}

fn encode_rmi(rmi: &Rmi, out: &mut Vec<u8>) {
    out.extend_from_slice(&(rmi.nodes.len() as u32).to_le_bytes());
    out.extend_from_slice(&(rmi.slots.len() as u32).to_le_bytes());
    encode_node(&rmi.root, out);
    for node in &rmi.nodes {
        encode_node(node, out);
    }
    for slot in &rmi.slots {
        out.extend_from_slice(&slot.low.to_le_bytes());
        out.extend_from_slice(&slot.slope.to_le_bytes());
        out.extend_from_slice(&slot.span.to_le_bytes());
    }
}

fn decode_rmi(reader: &mut Reader<'_>) -> Result<Rmi> {
    let nodes = u32::from_le_bytes(reader.take()?) as usize;
    let slots = u32::from_le_bytes(reader.take()?) as usize;
    let root = reader.node(slots)?;
    // The lengths are checked against what is there before anything is allocated for them.
    if reader.0.len() / NODE_BYTES < nodes {
        return Err(corrupted("fewer nodes than announced"));
    }
    let nodes = (0..nodes)
        .map(|_| reader.node(slots))
        .collect::<Result<Vec<_>>>()?;
    if reader.0.len() / size_of::<Slot>() < slots {
        return Err(corrupted("fewer slots than announced"));
    }
    let slots = (0..slots)
        .map(|_| {
            let slot = Slot {
                low: i32::from_le_bytes(reader.take()?),
                slope: u16::from_le_bytes(reader.take()?),
                span: u16::from_le_bytes(reader.take()?),
            };
            if slot.is_node() && usize::try_from(slot.low).is_ok_and(|node| node >= nodes.len()) {
                return Err(corrupted("a slot leads to a node that does not exist"));
            }
            Ok(slot)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Rmi { root, nodes, slots })
}

fn decode_tree(reader: &mut Reader<'_>, count: usize) -> Result<Tree> {
    let sizes = Tree::level_sizes(count);
    if reader.0.len() != sizes.iter().sum::<usize>() * size_of::<TreeNode>() {
        return Err(corrupted("a tree of another size"));
    }
    let mut levels = Vec::with_capacity(sizes.len());
    for size in sizes {
        let mut level = Vec::with_capacity(size);
        for _ in 0..size {
            let mut heads = [0; WIDTH];
            for head in &mut heads {
                *head = reader.u64()?;
            }
            level.push(TreeNode(heads));
        }
        levels.push(level);
    }
    Ok(Tree { levels })
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| corrupted("the blob ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn node(&mut self, slots: usize) -> Result<Node> {
        let node = Node {
            origin: self.u64()?,
            scale: f64::from_bits(self.u64()?),
            first: u32::from_le_bytes(self.take()?),
            count: u32::from_le_bytes(self.take()?),
        };
        let end = u64::from(node.first) + u64::from(node.count);
        if !node.scale.is_finite() || node.scale < 0.0 {
            return Err(corrupted("a node without a line"));
        }
        if !node.is_window() && (node.count == 0 || end > slots as u64) {
            return Err(corrupted("a node without its slots"));
        }
        Ok(node)
    }
}
