//! The name of a type: its OID and its modifier.

use serde::{Deserialize, Serialize};

/// A PostgreSQL type with its modifier (-1 when there is none): `varchar(10)` is OID 1043 with
/// modifier 14, `numeric(10,2)` is OID 1700 with modifier ((10 << 16) | 2) + 4, as in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PgType {
    pub oid: u32,
    pub typmod: i32,
}

macro_rules! builtin {
    ($($konst:ident = $oid:literal,)*) => {
        /// OIDs of the types that the engine knows (PostgreSQL's `pg_type.dat`).
        pub mod oid {
            $(pub const $konst: u32 = $oid;)*
        }
        impl PgType {
            $(pub const $konst: PgType = PgType::new($oid);)*
        }
    };
}

builtin! {
    BOOL = 16, BYTEA = 17, CHAR = 18, NAME = 19, INT8 = 20, INT2 = 21, INT2VECTOR = 22, INT4 = 23,
    REGPROC = 24, TEXT = 25, OID = 26, XID = 28, OIDVECTOR = 30, JSON = 114, PG_NODE_TREE = 194,
    FLOAT4 = 700, FLOAT8 = 701, UNKNOWN = 705, ACLITEM = 1033, BPCHAR = 1042, VARCHAR = 1043,
    DATE = 1082, TIME = 1083, TIMESTAMP = 1114, TIMESTAMPTZ = 1184, INTERVAL = 1186,
    NUMERIC = 1700, REGCLASS = 2205, REGTYPE = 2206, VOID = 2278, RECORD = 2249, UUID = 2950,
    JSONB = 3802, REGNAMESPACE = 4089, REGROLE = 4096,
    BOOL_ARRAY = 1000, BYTEA_ARRAY = 1001, CHAR_ARRAY = 1002, NAME_ARRAY = 1003, INT2_ARRAY = 1005,
    INT4_ARRAY = 1007, TEXT_ARRAY = 1009, BPCHAR_ARRAY = 1014, VARCHAR_ARRAY = 1015,
    INT8_ARRAY = 1016, FLOAT4_ARRAY = 1021, FLOAT8_ARRAY = 1022, OID_ARRAY = 1028,
    ACLITEM_ARRAY = 1034, TIMESTAMP_ARRAY = 1115, DATE_ARRAY = 1182, TIME_ARRAY = 1183,
    TIMESTAMPTZ_ARRAY = 1185, INTERVAL_ARRAY = 1187, NUMERIC_ARRAY = 1231, JSON_ARRAY = 199,
    REGCLASS_ARRAY = 2210, UUID_ARRAY = 2951, JSONB_ARRAY = 3807,
}

impl PgType {
    pub const fn new(oid: u32) -> Self {
        PgType { oid, typmod: -1 }
    }

    pub const fn with_typmod(oid: u32, typmod: i32) -> Self {
        PgType { oid, typmod }
    }

    /// `numeric(precision, scale)`; the scale may be negative or above the precision.
    pub const fn numeric(precision: u16, scale: i16) -> Self {
        PgType {
            oid: oid::NUMERIC,
            typmod: (((precision as i32) << 16) | (scale as i32 & 0x7ff)) + 4,
        }
    }

    /// `(precision, scale)` of a `numeric` with a modifier.
    pub fn precision_scale(self) -> Option<(u16, i16)> {
        if self.oid != oid::NUMERIC || self.typmod < 4 {
            return None;
        }
        let packed = self.typmod - 4;
        // The scale is a signed number of 11 bits.
        let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
        Some(((packed >> 16) as u16, scale as i16))
    }

    /// `n` of a `varchar(n)` or `char(n)` with a modifier.
    pub fn max_length(self) -> Option<usize> {
        match self.oid {
            oid::VARCHAR | oid::BPCHAR if self.typmod >= 4 => Some((self.typmod - 4) as usize),
            _ => None,
        }
    }

    /// Whether its texts and casts have nothing to do with the clock or the time zone.
    pub fn is_timeless(self) -> bool {
        matches!(
            self.oid,
            oid::BOOL
                | oid::INT2
                | oid::INT4
                | oid::INT8
                | oid::FLOAT4
                | oid::FLOAT8
                | oid::NUMERIC
                | oid::TEXT
                | oid::VARCHAR
                | oid::BPCHAR
                | oid::UUID
        )
    }
}
