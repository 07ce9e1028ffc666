//! Names and facts of the built-in types: what `pg_type` says about them, how SQL spells them.

mod sql;

use super::pg_type::{PgType, oid};
use crate::error::{Error, SqlState};

pub use sql::{MAX_PRECISION, array_type, from_sql, modified};

pub const REGPROCEDURE: u32 = 2202;
pub const REGOPER: u32 = 2203;
pub const REGOPERATOR: u32 = 2204;
pub const REGCOLLATION: u32 = 4191;

/// A row of `pg_type`.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    pub oid: u32,
    /// `typname`: `int4`.
    pub name: &'static str,
    /// As SQL writes it: `integer`.
    pub sql_name: &'static str,
    /// `typarray`; 0 when there is none.
    pub array: u32,
    /// `typlen`.
    pub length: i16,
    /// `typcategory`.
    pub category: char,
    /// `typalign`.
    pub align: char,
    /// `typbyval`.
    pub by_value: bool,
}

const fn base(
    oid: u32,
    name: &'static str,
    sql_name: &'static str,
    array: u32,
    length: i16,
    category: char,
    align: char,
) -> TypeInfo {
    let by_value = matches!(length, 1 | 2 | 4 | 8);
    TypeInfo {
        oid,
        name,
        sql_name,
        array,
        length,
        category,
        align,
        by_value,
    }
}

#[rustfmt::skip]
/// The types that are not arrays, by oid.
pub const TYPES: &[TypeInfo] = &[
    base(oid::BOOL, "bool", "boolean", 1000, 1, 'B', 'c'),
    base(oid::BYTEA, "bytea", "bytea", 1001, -1, 'U', 'i'),
    base(oid::CHAR, "char", "\"char\"", 1002, 1, 'Z', 'c'),
    base(oid::NAME, "name", "name", 1003, 64, 'S', 'c'),
    base(oid::INT8, "int8", "bigint", 1016, 8, 'N', 'd'),
    base(oid::INT2, "int2", "smallint", 1005, 2, 'N', 's'),
    base(oid::INT2VECTOR, "int2vector", "int2vector", 1006, -1, 'A', 'i'),
    base(oid::INT4, "int4", "integer", 1007, 4, 'N', 'i'),
    base(oid::REGPROC, "regproc", "regproc", 1008, 4, 'N', 'i'),
    base(oid::TEXT, "text", "text", 1009, -1, 'S', 'i'),
    base(oid::OID, "oid", "oid", 1028, 4, 'N', 'i'),
    base(oid::XID, "xid", "xid", 1011, 4, 'U', 'i'),
    base(oid::OIDVECTOR, "oidvector", "oidvector", 1013, -1, 'A', 'i'),
    base(oid::JSON, "json", "json", 199, -1, 'U', 'i'),
    base(oid::PG_NODE_TREE, "pg_node_tree", "pg_node_tree", 0, -1, 'Z', 'i'),
    base(oid::FLOAT4, "float4", "real", 1021, 4, 'N', 'i'),
    base(oid::FLOAT8, "float8", "double precision", 1022, 8, 'N', 'd'),
    base(oid::UNKNOWN, "unknown", "unknown", 0, -2, 'X', 'c'),
    base(oid::ACLITEM, "aclitem", "aclitem", 1034, 12, 'U', 'i'),
    base(oid::BPCHAR, "bpchar", "character", 1014, -1, 'S', 'i'),
    base(oid::VARCHAR, "varchar", "character varying", 1015, -1, 'S', 'i'),
    base(oid::DATE, "date", "date", 1182, 4, 'D', 'i'),
    base(oid::TIME, "time", "time without time zone", 1183, 8, 'D', 'd'),
    base(oid::TIMESTAMP, "timestamp", "timestamp without time zone", 1115, 8, 'D', 'd'),
    base(oid::TIMESTAMPTZ, "timestamptz", "timestamp with time zone", 1185, 8, 'D', 'd'),
    base(oid::INTERVAL, "interval", "interval", 1187, 16, 'T', 'd'),
    base(oid::NUMERIC, "numeric", "numeric", 1231, -1, 'N', 'i'),
    base(REGPROCEDURE, "regprocedure", "regprocedure", 2207, 4, 'N', 'i'),
    base(REGOPER, "regoper", "regoper", 2208, 4, 'N', 'i'),
    base(REGOPERATOR, "regoperator", "regoperator", 2209, 4, 'N', 'i'),
    base(oid::REGCLASS, "regclass", "regclass", 2210, 4, 'N', 'i'),
    base(oid::REGTYPE, "regtype", "regtype", 2211, 4, 'N', 'i'),
    base(oid::RECORD, "record", "record", 2287, -1, 'P', 'd'),
    base(oid::VOID, "void", "void", 0, 4, 'P', 'i'),
    base(oid::UUID, "uuid", "uuid", 2951, 16, 'U', 'c'),
    base(oid::JSONB, "jsonb", "jsonb", 3807, -1, 'U', 'i'),
    base(oid::REGNAMESPACE, "regnamespace", "regnamespace", 4090, 4, 'N', 'i'),
    base(oid::REGROLE, "regrole", "regrole", 4097, 4, 'N', 'i'),
    base(REGCOLLATION, "regcollation", "regcollation", 4192, 4, 'N', 'i'),
];

/// The facts of a type that is not an array.
pub fn info(oid: u32) -> Option<&'static TypeInfo> {
    TYPES.iter().find(|info| info.oid == oid)
}

/// Whether the engine knows the type, or the array type.
pub fn is_known(oid: u32) -> bool {
    info(oid).is_some() || array_element(oid).is_some()
}

fn array_element(oid: u32) -> Option<&'static TypeInfo> {
    if oid == 0 {
        return None;
    }
    TYPES.iter().find(|info| info.array == oid)
}

/// The array type of a type.
pub fn array_of(oid: u32) -> Option<u32> {
    info(oid).map(|info| info.array).filter(|array| *array != 0)
}

/// The type of an array's items (of the vector types too).
pub fn element_of(oid: u32) -> Option<u32> {
    match oid {
        oid::INT2VECTOR => Some(oid::INT2),
        oid::OIDVECTOR => Some(oid::OID),
        // Below 199 there are no other array types; this is asked for every value.
        0..199 => None,
        _ => array_element(oid).map(|info| info.oid),
    }
}

/// `typname`: `int4`, `_int4` for an array.
pub fn internal_name(oid: u32) -> Option<String> {
    match info(oid) {
        Some(info) => Some(info.name.to_owned()),
        None => array_element(oid).map(|info| format!("_{}", info.name)),
    }
}

/// `typlen`, `typcategory`, `typalign` and `typbyval`, of array types too.
pub fn physical(oid: u32) -> Option<(i16, char, char, bool)> {
    if let Some(info) = info(oid) {
        return Some((info.length, info.category, info.align, info.by_value));
    }
    let element = array_element(oid)?;
    let category = if element.oid == oid::RECORD { 'P' } else { 'A' };
    let align = if element.align == 'd' { 'd' } else { 'i' };
    Some((-1, category, align, false))
}

/// A type as error messages and `regtype` name it: `character`, `integer[]`; `???` for an unknown oid.
pub fn sql_name(oid: u32) -> String {
    match (info(oid), array_element(oid)) {
        (Some(info), _) => info.sql_name.to_owned(),
        (None, Some(element)) => format!("{}[]", element.sql_name),
        (None, None) => "???".to_owned(),
    }
}

/// PostgreSQL's `format_type`: `character varying(10)`, `numeric(10,2)[]`; `???` for an unknown oid.
pub fn format_type(ty: PgType) -> String {
    let (info, suffix) = match (info(ty.oid), array_element(ty.oid)) {
        (Some(info), _) => (info, ""),
        (None, Some(element)) => (element, "[]"),
        (None, None) => return "???".to_owned(),
    };
    let element = PgType::with_typmod(info.oid, ty.typmod);
    let name = info.sql_name;
    let shown = match info.oid {
        oid::BPCHAR if ty.typmod < 0 => "bpchar".to_owned(),
        oid::VARCHAR | oid::BPCHAR => match element.max_length() {
            Some(length) => format!("{name}({length})"),
            None => name.to_owned(),
        },
        oid::NUMERIC => match element.precision_scale() {
            Some((precision, scale)) => format!("{name}({precision},{scale})"),
            None => name.to_owned(),
        },
        oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ if ty.typmod >= 0 => {
            let (first, rest) = name.split_once(' ').unwrap_or((name, ""));
            format!("{first}({}) {rest}", ty.typmod)
        }
        _ => name.to_owned(),
    };
    format!("{shown}{suffix}")
}

/// A type by its name, as `to_regtype` and casts take it: internal or SQL name, any case, with
/// `pg_catalog.` before or `[]` after it, with a modifier in parentheses.
pub fn from_name(name: &str) -> Option<PgType> {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name).trim();
    if let Some(element) = name.strip_suffix("[]") {
        let element = from_name(element)?;
        return Some(PgType::with_typmod(array_of(element.oid)?, element.typmod));
    }
    if let Some((start, rest)) = name.split_once('(') {
        let (arguments, end) = rest.split_once(')')?;
        let base = from_name(&format!("{}{end}", start.trim_end()))?;
        let arguments: Vec<i64> = arguments
            .split(',')
            .map(|argument| argument.trim().parse())
            .collect::<Result<_, _>>()
            .ok()?;
        return modified(base, &arguments).ok();
    }
    let plain = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    if let Some(plain) = plain {
        return by_internal_name(plain);
    }
    let words = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let alias = match words.as_str() {
        "int" => oid::INT4,
        "decimal" | "dec" => oid::NUMERIC,
        "float" => oid::FLOAT8,
        "char" | "character" | "nchar" => return Some(PgType::with_typmod(oid::BPCHAR, 5)),
        "char varying" | "national character varying" => oid::VARCHAR,
        "time" => oid::TIME,
        "timestamp" => oid::TIMESTAMP,
        words => match TYPES.iter().find(|info| info.sql_name == words) {
            Some(info) => info.oid,
            None => return by_internal_name(words),
        },
    };
    Some(PgType::new(alias))
}

fn by_internal_name(name: &str) -> Option<PgType> {
    if let Some(info) = TYPES.iter().find(|info| info.name == name) {
        return Some(PgType::new(info.oid));
    }
    let element = name.strip_prefix('_')?;
    let info = TYPES
        .iter()
        .find(|info| info.name == element && info.array != 0)?;
    Some(PgType::new(info.array))
}

/// 42704 `type "x" does not exist`.
pub fn no_such_type(name: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("type \"{name}\" does not exist"),
    )
}
