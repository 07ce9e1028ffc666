//! Several sorted sequences of entries as one, from the front and from the back.

use bytes::Bytes;

use crate::error::Result;
use crate::storage::SealedIter;

type Entry = (Bytes, Bytes);

/// Entries of several sequences that have no key in common, by key.
pub(super) struct Merged {
    sources: Vec<Source>,
    failed: bool,
}

struct Source {
    rest: SealedIter,
    front: Option<Entry>,
    back: Option<Entry>,
}

impl Source {
    fn front(&mut self) -> Result<Option<&Bytes>> {
        if self.front.is_none() {
            self.front = match self.rest.next() {
                Some(entry) => Some(entry?),
                None => self.back.take(),
            };
        }
        Ok(self.front.as_ref().map(|(key, _)| key))
    }

    fn back(&mut self) -> Result<Option<&Bytes>> {
        if self.back.is_none() {
            self.back = match self.rest.next_back() {
                Some(entry) => Some(entry?),
                None => self.front.take(),
            };
        }
        Ok(self.back.as_ref().map(|(key, _)| key))
    }
}

impl Merged {
    pub fn of(mut sequences: Vec<SealedIter>) -> Option<SealedIter> {
        if sequences.len() <= 1 {
            return sequences.pop();
        }
        let sources = sequences
            .into_iter()
            .map(|rest| Source {
                rest,
                front: None,
                back: None,
            })
            .collect();
        Some(Box::new(Merged {
            sources,
            failed: false,
        }))
    }

    fn first(&mut self) -> Result<Option<Entry>> {
        let mut best: Option<(usize, &Bytes)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            if let Some(key) = source.front()?
                && best.is_none_or(|(_, least)| key < least)
            {
                best = Some((at, key));
            }
        }
        let at = best.map(|(at, _)| at);
        Ok(at.and_then(|at| self.sources.get_mut(at)?.front.take()))
    }

    fn last(&mut self) -> Result<Option<Entry>> {
        let mut best: Option<(usize, &Bytes)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            if let Some(key) = source.back()?
                && best.is_none_or(|(_, greatest)| key > greatest)
            {
                best = Some((at, key));
            }
        }
        let at = best.map(|(at, _)| at);
        Ok(at.and_then(|at| self.sources.get_mut(at)?.back.take()))
    }

    /// An error ends the sequence: what follows it could be out of order.
    fn ended(&mut self, entry: Result<Option<Entry>>) -> Option<Result<Entry>> {
        self.failed = entry.is_err();
        entry.transpose()
    }
}

impl Iterator for Merged {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.first();
        self.ended(entry)
    }
}

impl DoubleEndedIterator for Merged {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.last();
        self.ended(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(keys: &[u8]) -> SealedIter {
        let entries: Vec<Result<Entry>> = keys
            .iter()
            .map(|key| Ok((Bytes::copy_from_slice(&[*key]), Bytes::new())))
            .collect();
        Box::new(entries.into_iter())
    }

    #[test]
    fn both_ends_meet_in_the_middle() {
        let parts: [&[u8]; 4] = [&[1, 4, 7], &[2, 3, 9], &[], &[5]];
        for fronts in 0..=7 {
            let mut merged = Merged::of(parts.iter().map(|keys| sequence(keys)).collect()).unwrap();
            let mut front: Vec<u8> = (0..fronts)
                .map(|_| merged.next().unwrap().unwrap().0[0])
                .collect();
            let mut back: Vec<u8> = std::iter::from_fn(|| merged.next_back())
                .map(|entry| entry.unwrap().0[0])
                .collect();
            back.reverse();
            front.extend(back);
            assert_eq!(front, [1, 2, 3, 4, 5, 7, 9]);
            assert!(merged.next().is_none() && merged.next_back().is_none());
        }
    }
}
