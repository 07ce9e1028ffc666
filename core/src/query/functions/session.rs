//! What a query may ask about its session, and the functions that change it.

use super::casts::{name_of_oid, oid_of_name};
use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::catalog::{Object, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::query::Signal;
use crate::types::names::format_type;
use crate::types::{Array, Datum, PgType, oid};

pub(super) fn define(all: &mut Definitions) {
    for name in ["current_user", "user", "current_role"] {
        all.add(name, "", "name", |c, _| {
            Ok(Datum::text(c.info.user.clone()))
        })
        .stable();
    }
    all.add("session_user", "", "name", |c, _| {
        Ok(Datum::text(c.info.session_user.clone()))
    })
    .stable();
    for name in ["current_database", "current_catalog"] {
        all.add(name, "", "name", |c, _| {
            Ok(Datum::text(c.info.database.clone()))
        })
        .stable();
    }
    all.add("current_schema", "", "name", |c, _| {
        let found = c
            .info
            .search_path
            .0
            .iter()
            .find(|name| c.catalog.schema(name).is_some());
        Ok(found.map_or(Datum::Null, |name| Datum::text(name.clone())))
    })
    .stable();
    all.add("current_schemas", "bool", "_name", |c, a| {
        let mut items = Vec::new();
        if matches!(a, [Datum::Bool(true)])
            && !c.info.search_path.0.iter().any(|name| name == "pg_catalog")
        {
            items.push(Datum::text("pg_catalog"));
        }
        for name in c.info.search_path.0.iter() {
            if c.catalog.schema(name).is_some() {
                items.push(Datum::text(name.clone()));
            }
        }
        Ok(Datum::Array(Box::new(Array {
            element: PgType::NAME,
            items,
        })))
    })
    .stable();
    all.add("version", "", "text", |_, _| {
        Ok(Datum::text(format!(
            "PostgreSQL 15.0 (OmenDB {})",
            env!("CARGO_PKG_VERSION")
        )))
    })
    .stable();
    all.add("pg_backend_pid", "", "int4", |c, _| {
        Ok(Datum::Int4(c.info.process_id))
    })
    .stable();
    all.add("pg_typeof", "any", "regtype", |c, _| {
        Ok(Datum::Oid(c.types.first().map_or(oid::TEXT, |ty| ty.oid)))
    })
    .takes_null()
    .stable();
    all.add("format_type", "oid,int4", "text", |_, a| match a.first() {
        Some(Datum::Oid(value)) => {
            let typmod = match a.get(1) {
                Some(Datum::Int4(typmod)) => *typmod,
                _ => -1,
            };
            Ok(Datum::text(format_type(PgType::with_typmod(
                *value, typmod,
            ))))
        }
        _ => Ok(Datum::Null),
    })
    .takes_null();
    all.add("current_setting", "text", "text", |c, a| {
        match c.info.access.setting(str_at(a, 0)) {
            Some(value) => Ok(Datum::text(value)),
            None => Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{}\"", str_at(a, 0)),
            )),
        }
    })
    .stable();
    all.add("current_setting", "text,bool", "text", |c, a| {
        match c.info.access.setting(str_at(a, 0)) {
            Some(value) => Ok(Datum::text(value)),
            None if matches!(a.get(1), Some(Datum::Bool(true))) => Ok(Datum::Null),
            None => Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{}\"", str_at(a, 0)),
            )),
        }
    })
    .stable();
    all.add("set_config", "text,text,bool", "text", |c, a| {
        let [Datum::Text(name), value, local] = a else {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "SET requires parameter name",
            ));
        };
        let value = match value {
            Datum::Text(value) => Some(value.as_ref()),
            _ => None,
        };
        let local = matches!(local, Datum::Bool(true));
        c.info
            .access
            .set_setting(name, value, local)
            .map(Datum::text)
    })
    .takes_null()
    .volatile();
    all.add("nextval", "regclass", "int8", |c, a| {
        let sequence = sequence(c, a)?;
        let session = c.info.writer("nextval()")?;
        session.next_value(sequence).map(Datum::Int8)
    })
    .volatile();
    all.add("nextval", "text", "int8", |c, a| {
        let sequence = sequence(c, a)?;
        let session = c.info.writer("nextval()")?;
        session.next_value(sequence).map(Datum::Int8)
    })
    .volatile();
    all.add("currval", "regclass", "int8", |c, a| {
        c.info
            .access
            .current_value(sequence(c, a)?)
            .map(Datum::Int8)
    })
    .volatile();
    all.add("currval", "text", "int8", |c, a| {
        c.info
            .access
            .current_value(sequence(c, a)?)
            .map(Datum::Int8)
    })
    .volatile();
    all.add("lastval", "", "int8", |c, _| {
        c.info.access.last_value().map(Datum::Int8)
    })
    .volatile();
    for (first, more) in [
        ("regclass", "int8"),
        ("text", "int8"),
        ("regclass", "int8,bool"),
        ("text", "int8,bool"),
    ] {
        all.add("setval", &format!("{first},{more}"), "int8", |c, a| {
            let called = !matches!(a.get(2), Some(Datum::Bool(false)));
            let sequence = sequence(c, a)?;
            c.info
                .writer("setval()")?
                .set_value(sequence, int_at(a, 1), called)
                .map(Datum::Int8)
        })
        .volatile();
    }
    all.add("sequence_last_value", "regclass", "int8", |c, a| {
        let (value, _) = c.info.access.sequence_state(sequence(c, a)?)?;
        Ok(Datum::Int8(value))
    })
    .volatile();
    all.add("sequence_log_count", "regclass", "int8", |_, _| {
        Ok(Datum::Int8(0))
    })
    .volatile();
    all.add("sequence_is_called", "regclass", "bool", |c, a| {
        let (_, called) = c.info.access.sequence_state(sequence(c, a)?)?;
        Ok(Datum::Bool(called))
    })
    .volatile();
    all.add("pg_get_serial_sequence", "text,text", "text", |c, a| {
        serial_sequence(c, str_at(a, 0), str_at(a, 1))
    })
    .stable();
    all.add("to_regclass", "text", "regclass", |c, a| {
        Ok(oid_of_name(c, str_at(a, 0), PgType::REGCLASS).map_or(Datum::Null, Datum::Oid))
    })
    .stable();
    all.add("to_regtype", "text", "regtype", |c, a| {
        Ok(oid_of_name(c, str_at(a, 0), PgType::REGTYPE).map_or(Datum::Null, Datum::Oid))
    })
    .stable();
    all.add("to_regnamespace", "text", "regnamespace", |c, a| {
        Ok(oid_of_name(c, str_at(a, 0), PgType::REGNAMESPACE).map_or(Datum::Null, Datum::Oid))
    })
    .stable();
    all.add("pg_table_is_visible_op", "oid", "bool", |c, a| {
        match c.catalog.object(int_at(a, 0) as u32) {
            Some(object) => Ok(Datum::Bool(
                c.catalog.is_visible(object, &c.info.search_path),
            )),
            None => Ok(Datum::Null),
        }
    })
    .stable();
    all.add("gen_random_uuid", "", "uuid", |c, _| {
        let mut bytes = c.info.access.random();
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        Ok(Datum::Uuid(bytes))
    })
    .volatile();
    for name in ["txid_current", "pg_current_xact_id"] {
        all.add(name, "", "int8", |c, _| {
            Ok(Datum::Int8(c.info.transaction_start / 1_000))
        })
        .stable();
    }
    all.add("pg_is_in_recovery", "", "bool", |_, _| {
        Ok(Datum::Bool(false))
    })
    .stable();
    all.add("pg_cancel_backend", "int4", "bool", |c, a| {
        signal(c, a, Signal::Cancel)
    })
    .volatile();
    all.add("pg_terminate_backend", "int4", "bool", |c, a| {
        signal(c, a, Signal::Terminate)
    })
    .volatile();
    all.add(
        "pg_terminate_backend",
        "int4,int8",
        "bool",
        |c, a| match int_at(a, 1) {
            0 => signal(c, a, Signal::Terminate),
            1.. => Err(Error::unsupported(
                "a timeout of pg_terminate_backend",
                "Look for the session in pg_stat_activity.",
            )),
            _ => Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "\"timeout\" must not be negative",
            )),
        },
    )
    .volatile();
    all.add("pg_notify", "text,text", "void", |_, _| {
        Err(Error::unsupported("NOTIFY", "Poll a table."))
    })
    .volatile();
    all.add("num_nulls", "...any", "int4", |_, a| {
        Ok(Datum::Int4(
            a.iter().filter(|it| it.is_null()).count() as i32
        ))
    })
    .takes_null();
    all.add("num_nonnulls", "...any", "int4", |_, a| {
        Ok(Datum::Int4(
            a.iter().filter(|it| !it.is_null()).count() as i32
        ))
    })
    .takes_null();
    for kind in ["regclass", "regtype", "regnamespace", "regrole"] {
        all.add("reg_name_op", kind, "text", |c, a| {
            match (a.first(), c.types.first()) {
                (Some(Datum::Oid(value)), Some(ty)) => Ok(Datum::text(name_of_oid(c, *value, *ty))),
                _ => Ok(Datum::Null),
            }
        })
        .stable();
    }
}

/// Sends a session, named by its process number, a signal.
fn signal(call: &Call<'_>, args: &[Datum<'_>], signal: Signal) -> Result<Datum<'static>> {
    let process = int_at(args, 0);
    let access = &call.info.access;
    let found = access.signal(i32::try_from(process).unwrap_or(0), signal)?;
    if !found {
        access.warn(Error::new(
            SqlState::WARNING,
            format!("PID {process} is not a PostgreSQL backend process"),
        ));
    }
    Ok(Datum::Bool(found))
}

/// The sequence that the first argument names.
fn sequence(call: &Call<'_>, args: &[Datum<'_>]) -> Result<u32> {
    let found = match args.first() {
        Some(Datum::Oid(value)) => *value,
        Some(Datum::Text(name)) => oid_of_name(call, name, PgType::REGCLASS)?,
        _ => 0,
    };
    match call.catalog.object(found) {
        Some(Object::Sequence(_)) => Ok(found),
        Some(other) => Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a sequence", other.name()),
        )),
        None => Err(Error::new(
            SqlState::UNDEFINED_TABLE,
            format!("could not open relation with OID {found}"),
        )),
    }
}

fn serial_sequence(call: &Call<'_>, table: &str, column: &str) -> Result<Datum<'static>> {
    let oid = oid_of_name(call, table, PgType::REGCLASS)?;
    let Some(Object::Table(table)) = call.catalog.object(oid) else {
        return Ok(Datum::Null);
    };
    let Some(column) = table.column(column).and_then(|at| table.columns.get(at)) else {
        return Err(undefined_column(column, &table.name));
    };
    let Some(Object::Sequence(sequence)) = column.sequence.and_then(|oid| call.catalog.object(oid))
    else {
        return Ok(Datum::Null);
    };
    let schema = call
        .catalog
        .schema_name(sequence.schema)
        .unwrap_or("public");
    Ok(Datum::text(format!(
        "{}.{}",
        crate::catalog::quote(schema),
        crate::catalog::quote(&sequence.name)
    )))
}

/// Lower case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// MD5 (RFC 1321), for `md5()`: not for secrets.
pub(super) fn md5(input: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [
        [7, 12, 17, 22],
        [5, 9, 14, 20],
        [4, 11, 16, 23],
        [6, 10, 15, 21],
    ];
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut message = input.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&(input.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in message.chunks_exact(64) {
        let words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| {
                word.iter()
                    .rev()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte))
            })
            .collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_usize {
            let (mix, at) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), 7 * step % 16),
            };
            let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let word = words.get(at).copied().unwrap_or(0);
            let shift = SHIFTS
                .get(step / 16)
                .and_then(|row| row.get(step % 4))
                .copied()
                .unwrap_or(0);
            let turned = a
                .wrapping_add(mix)
                .wrapping_add(constant)
                .wrapping_add(word)
                .rotate_left(shift);
            (a, d, c, b) = (d, c, b, b.wrapping_add(turned));
        }
        for (slot, value) in state.iter_mut().zip([a, b, c, d]) {
            *slot = slot.wrapping_add(value);
        }
    }
    let mut digest = [0; 16];
    for (slot, byte) in digest
        .iter_mut()
        .zip(state.iter().flat_map(|word| word.to_le_bytes()))
    {
        *slot = byte;
    }
    digest
}
