//! Size-tiered compaction: which segments of a table are merged next.
//!
//! Segments that do not overlap make a *sorted run*. A look-up asks one segment of each run that has
//! its key within, so runs that overlap are merged; and neighbours within a run are merged as long as
//! they are small, for each segment costs a little wherever it lies. Both follow one rule:
//!
//! > Merge at least [`FAN`], the largest of which is at most half of them all.
//!
//! So whatever a row lies in has at least doubled whenever the row is written again. A row is written
//! at most log₂ of (rows of the table ÷ rows of a seal) times because of overlap, and log₂ of (rows of
//! a full segment ÷ rows of a small one) times because of small segments. And of runs that overlap,
//! each group of [`FAN`] outgrows the one before by half at least: their number is a logarithm as well.
//!
//! What the rule does not bound is: no key lies in more than [`MAX_DEPTH`] segments when nothing is left
//! to merge.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;

use super::tend::Effort;

/// What is merged at least, unless everything is.
const FAN: usize = 4;
/// Segments that may have one key, before some of them are merged whatever their sizes. A table whose runs
/// double from one to the next gets there with 2^13 times the rows of its smallest run.
pub(super) const MAX_DEPTH: usize = 16;
/// Small neighbours after which some are merged whatever their sizes, and those that are looked at
/// together.
const MAX_SMALL: usize = 32;
/// A segment is written anew when one row in so many is gone.
const GONE_SHARE: u64 = 5;

/// What counts of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'k> {
    pub segment: u64,
    pub first: &'k [u8],
    pub last: &'k [u8],
    /// Rows that are not gone, and rows that are.
    pub live: u64,
    pub gone: u64,
    /// Whether it is less than half of a segment, and could have more rows.
    pub small: bool,
}

impl Extent<'_> {
    fn is_stale(&self, effort: Effort) -> bool {
        match effort {
            Effort::Due => {
                let rows = self.live.saturating_add(self.gone);
                self.gone > 0 && self.gone.saturating_mul(GONE_SHARE) >= rows
            }
            Effort::All => self.gone > 0,
        }
    }
}

/// Segments to be merged with each other, or one to be written without what is gone from it. Each such
/// merge leaves fewer of what it is done for, until nothing is left to do.
pub(super) fn next(mut extents: Vec<Extent<'_>>, effort: Effort) -> Option<Vec<u64>> {
    extents.sort_by(|a, b| a.first.cmp(b.first));
    let clusters = clusters(&extents);
    let runs = sorted_runs(&extents);
    let chosen = deepest(&extents)
        .or_else(|| overlapping(&extents, &clusters, &runs, effort))
        .or_else(|| neighbours(&extents, &clusters, &runs, effort))
        .or_else(|| {
            let stale = extents.iter().position(|extent| extent.is_stale(effort));
            stale.map(|at| vec![at])
        })?;
    Some(segments(&extents, chosen))
}

/// Segments to be merged only because they have a key in common with too many others.
pub(super) fn too_deep(mut extents: Vec<Extent<'_>>) -> Option<Vec<u64>> {
    extents.sort_by(|a, b| a.first.cmp(b.first));
    Some(segments(&extents, deepest(&extents)?))
}

fn segments(extents: &[Extent<'_>], chosen: Vec<usize>) -> Vec<u64> {
    let chosen = chosen.into_iter().filter_map(|at| extents.get(at));
    chosen.map(|extent| extent.segment).collect()
}

/// Runs of segments that do not overlap, by position and in key order. The largest segments are in the
/// first run, so that a run is made of segments of about the same size.
pub(super) fn sorted_runs(extents: &[Extent<'_>]) -> Vec<Vec<usize>> {
    let mut by_size: Vec<usize> = (0..extents.len()).collect();
    by_size.sort_by_key(|at| std::cmp::Reverse(extents.get(*at).map(|extent| extent.live)));
    let mut runs: Vec<BTreeMap<&[u8], (&[u8], usize)>> = Vec::new();
    for at in by_size {
        let Some(extent) = extents.get(at) else {
            continue;
        };
        let fits = |run: &&mut BTreeMap<&[u8], (&[u8], usize)>| {
            let mut before = run.range::<[u8], _>((Unbounded, Included(extent.last)));
            let before = before.next_back();
            before.is_none_or(|(_, (last, _))| *last < extent.first)
        };
        match runs.iter_mut().find(fits) {
            Some(run) => {
                run.insert(extent.first, (extent.last, at));
            }
            None => runs.push(BTreeMap::from([(extent.first, (extent.last, at))])),
        }
    }
    let positions = runs.into_iter().map(BTreeMap::into_values);
    positions
        .map(|run| run.map(|(_, at)| at).collect())
        .collect()
}

/// Some segments that have a key in common with each other and with too many others: the smallest of them.
/// What they become covers what they did, so no other key gets into more segments.
fn deepest(extents: &[Extent<'_>]) -> Option<Vec<usize>> {
    let mut deepest: Vec<usize> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (at, extent) in extents.iter().enumerate() {
        open.retain(|before| {
            let before = extents.get(*before);
            before.is_some_and(|before| before.last >= extent.first)
        });
        open.push(at);
        if open.len() > deepest.len() {
            deepest.clone_from(&open);
        }
    }
    let more = deepest
        .len()
        .checked_sub(MAX_DEPTH)
        .filter(|more| *more > 0)?;
    deepest.sort_by_key(|at| live(extents, *at));
    deepest.truncate(more.saturating_add(1).max(FAN));
    Some(deepest)
}

/// For each segment, in the order of first keys, which group of those that overlap it belongs to:
/// directly, or by way of others.
fn clusters(extents: &[Extent<'_>]) -> Vec<usize> {
    let mut reach: Option<&[u8]> = None;
    let mut cluster = 0;
    let numbers = extents.iter().map(|extent| {
        if reach.is_some_and(|reach| reach < extent.first) {
            cluster += 1;
        }
        reach = reach.max(Some(extent.last));
        cluster
    });
    numbers.collect()
}

/// The runs of a cluster that are merged into one.
fn overlapping(
    extents: &[Extent<'_>],
    clusters: &[usize],
    runs: &[Vec<usize>],
    effort: Effort,
) -> Option<Vec<usize>> {
    // By cluster: what it has of each run.
    let mut shares: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for run in runs {
        let mut begun = HashSet::new();
        for at in run {
            let cluster = clusters.get(*at).copied().unwrap_or_default();
            let shares = shares.entry(cluster).or_default();
            if begun.insert(cluster) {
                shares.push(Vec::new());
            }
            if let Some(share) = shares.last_mut() {
                share.push(*at);
            }
        }
    }
    let least = match effort {
        Effort::Due => FAN,
        Effort::All => 2,
    };
    for mut shares in shares.into_values().filter(|shares| shares.len() >= least) {
        let rows = |share: &Vec<usize>| -> u64 { share.iter().map(|at| live(extents, *at)).sum() };
        shares.sort_by_key(rows);
        let sizes: Vec<u64> = shares.iter().map(rows).collect();
        let end = match effort {
            Effort::Due => ends(&sizes, FAN, sizes.len()).last(),
            Effort::All => Some(sizes.len()),
        };
        if let Some(end) = end {
            shares.truncate(end);
            return Some(shares.into_iter().flatten().collect());
        }
    }
    None
}

/// Small segments of a run that follow one another.
fn neighbours(
    extents: &[Extent<'_>],
    clusters: &[usize],
    runs: &[Vec<usize>],
    effort: Effort,
) -> Option<Vec<usize>> {
    for (number, run) in runs.iter().enumerate() {
        // Between two segments of another run than the first there may be large ones, which would
        // overlap with what they become, unless all are of one cluster already.
        let apart = |a: &usize, b: &usize| number > 0 && clusters.get(*a) != clusters.get(*b);
        let is_small = |at: &usize| extents.get(*at).is_some_and(|extent| extent.small);
        let stretches = run.chunk_by(|a, b| is_small(a) && is_small(b) && !apart(a, b));
        for stretch in stretches.filter(|stretch| stretch.len() > 1) {
            let sizes: Vec<u64> = stretch.iter().map(|at| live(extents, *at)).collect();
            let window = match effort {
                Effort::Due => doubling(&sizes).or_else(|| cheapest(&sizes)),
                Effort::All => Some(0..sizes.len()),
            };
            if let Some(window) = window {
                return stretch.get(window).map(<[usize]>::to_vec);
            }
        }
    }
    None
}

/// The longest sequence of neighbours that the rule allows.
fn doubling(sizes: &[u64]) -> Option<Range<usize>> {
    let windows = (0..sizes.len()).flat_map(|start| {
        let rest = sizes.get(start..).unwrap_or_default();
        let end = ends(rest, FAN, MAX_SMALL).last();
        end.map(|end| start..start.saturating_add(end))
    });
    windows.max_by_key(|window| window.len())
}

/// Where there are too many neighbours, those that take the least to merge.
fn cheapest(sizes: &[u64]) -> Option<Range<usize>> {
    if sizes.len() <= MAX_SMALL {
        return None;
    }
    let windows = sizes.windows(FAN).enumerate();
    let least = windows.min_by_key(|(_, window)| window.iter().sum::<u64>());
    least.map(|(start, window)| start..start.saturating_add(window.len()))
}

/// Ends of the sequences from the first on that have `least` to `most` members and of which the largest
/// is at most half.
fn ends(sizes: &[u64], least: usize, most: usize) -> impl Iterator<Item = usize> {
    let (mut total, mut largest) = (0_u64, 0_u64);
    let known = sizes.iter().take(most).enumerate();
    known.filter_map(move |(at, size)| {
        total = total.saturating_add(*size);
        largest = largest.max(*size);
        let count = at.saturating_add(1);
        (count >= least && largest.saturating_mul(2) <= total).then_some(count)
    })
}

fn live(extents: &[Extent<'_>], at: usize) -> u64 {
    extents.get(at).map_or(0, |extent| extent.live)
}
