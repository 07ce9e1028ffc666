//! `pg_catalog` and `information_schema`: system tables computed from the live catalog.
