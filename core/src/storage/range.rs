//! The rows of a key range: those in redb and those of the sealed tier, merged by key.

use bytes::Bytes;
use redb::{OwnedAccessGuard, OwnedRange};

use super::block::SealedRow;
use super::format;
use super::tier::SealedIter;
use crate::error::Result;

/// A value read from a snapshot; borrows the page it lies in.
pub struct Value(pub(super) ValueBytes);

pub(super) enum ValueBytes {
    Page(OwnedAccessGuard<format::Bytes>),
    Sealed(Bytes),
    Row(SealedRow),
}

impl Value {
    /// Whether it lies in the sealed tier.
    pub fn is_sealed(&self) -> bool {
        matches!(self.0, ValueBytes::Sealed(_) | ValueBytes::Row(_))
    }
}

impl From<SealedRow> for Value {
    fn from(row: SealedRow) -> Value {
        Value(ValueBytes::Row(row))
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            ValueBytes::Page(guard) => guard.value(),
            ValueBytes::Sealed(bytes) => bytes,
            ValueBytes::Row(row) => row.as_ref(),
        }
    }
}

type Entry = (Value, Value);
pub(super) type PageRange = OwnedRange<format::Bytes, format::Bytes>;

/// Entries of a key range; from the front and from the back.
#[derive(Default)]
pub struct RangeIter {
    pages: Option<PageRange>,
    /// Boxed: most tables have nothing sealed.
    sealed: Option<Box<Merge>>,
}

/// What is left of the sealed rows, and the entries that were taken from either side to compare.
struct Merge {
    rest: SealedIter,
    page: Peeked,
    sealed: Peeked,
}

/// One entry from each end of an iterator, taken early.
#[derive(Default)]
struct Peeked {
    front: Option<Entry>,
    back: Option<Entry>,
}

impl Peeked {
    /// Looks at the next entry from the front; `next` advances the iterator.
    fn front(&mut self, next: impl FnOnce() -> Option<Result<Entry>>) -> Result<Option<&[u8]>> {
        if self.front.is_none() {
            self.front = match next() {
                Some(entry) => Some(entry?),
                None => self.back.take(),
            };
        }
        Ok(self.front.as_ref().map(|(key, _)| key.as_ref()))
    }

    fn back(&mut self, next: impl FnOnce() -> Option<Result<Entry>>) -> Result<Option<&[u8]>> {
        if self.back.is_none() {
            self.back = match next() {
                Some(entry) => Some(entry?),
                None => self.front.take(),
            };
        }
        Ok(self.back.as_ref().map(|(key, _)| key.as_ref()))
    }
}

fn page_entry(
    found: redb::Result<(
        OwnedAccessGuard<format::Bytes>,
        OwnedAccessGuard<format::Bytes>,
    )>,
) -> Result<Entry> {
    let (key, value) = found?;
    Ok((Value(ValueBytes::Page(key)), Value(ValueBytes::Page(value))))
}

fn sealed_entry(found: Result<(Bytes, Bytes)>) -> Result<Entry> {
    let (key, value) = found?;
    Ok((
        Value(ValueBytes::Sealed(key)),
        Value(ValueBytes::Sealed(value)),
    ))
}

impl RangeIter {
    pub(super) fn new(pages: Option<PageRange>, sealed: Option<SealedIter>) -> Self {
        RangeIter {
            pages,
            sealed: sealed.map(|rest| {
                Box::new(Merge {
                    rest,
                    page: Peeked::default(),
                    sealed: Peeked::default(),
                })
            }),
        }
    }
}

impl Iterator for RangeIter {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let pages = &mut self.pages;
        let mut page = || pages.as_mut()?.next().map(page_entry);
        let Some(merge) = &mut self.sealed else {
            return page();
        };
        let rest = &mut merge.rest;
        let first = merge.page.front(page);
        let second = merge.sealed.front(|| rest.next().map(sealed_entry));
        let from_pages = match (first, second) {
            (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
            (Ok(Some(page)), Ok(Some(sealed))) => page < sealed,
            (Ok(page), Ok(_)) => page.is_some(),
        };
        let side = match from_pages {
            true => &mut merge.page,
            false => &mut merge.sealed,
        };
        side.front.take().map(Ok)
    }
}

impl DoubleEndedIterator for RangeIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        let pages = &mut self.pages;
        let mut page = || pages.as_mut()?.next_back().map(page_entry);
        let Some(merge) = &mut self.sealed else {
            return page();
        };
        let rest = &mut merge.rest;
        let first = merge.page.back(page);
        let second = merge.sealed.back(|| rest.next_back().map(sealed_entry));
        let from_pages = match (first, second) {
            (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
            (Ok(Some(page)), Ok(Some(sealed))) => page > sealed,
            (Ok(page), Ok(_)) => page.is_some(),
        };
        let side = match from_pages {
            true => &mut merge.page,
            false => &mut merge.sealed,
        };
        side.back.take().map(Ok)
    }
}
