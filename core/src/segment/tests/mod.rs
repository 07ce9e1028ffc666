//! Tests of segments.

mod tiers;
mod timeline;
