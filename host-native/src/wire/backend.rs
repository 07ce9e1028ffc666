//! Messages to the client, encoded straight into the output buffer.
//!
//! Formats: PostgreSQL documentation, "Message Formats". Lengths are patched once a message is
//! complete, so that nothing is built twice.

use omendb_core::error::{Error, Notice, Result, SqlState};
use omendb_core::session::{CopyShape, Format, ResultColumn, RowBlock, TransactionStatus};
use omendb_core::types::{PgType, oid};

/// Appends a message of type `tag` whose body `fill` writes.
pub fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
    patch(out, at, length);
}

fn patch(out: &mut [u8], at: usize, value: i32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

fn put_cstr(out: &mut Vec<u8>, text: &str) {
    // A zero byte would end the string early and break the message's frame.
    let text = text.split('\0').next().unwrap_or_default();
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
}

/// `Authentication*`: the code and what belongs to it.
pub fn authentication(out: &mut Vec<u8>, code: i32, data: &[u8]) {
    message(out, b'R', |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(data);
    });
}

pub const AUTHENTICATION_OK: i32 = 0;
pub const AUTHENTICATION_SASL: i32 = 10;
pub const AUTHENTICATION_SASL_CONTINUE: i32 = 11;
pub const AUTHENTICATION_SASL_FINAL: i32 = 12;

/// `NegotiateProtocolVersion`: the newest minor version here, and the options it does not know.
pub fn negotiate_version(out: &mut Vec<u8>, minor: i32, unknown: &[String]) {
    message(out, b'v', |out| {
        out.extend_from_slice(&minor.to_be_bytes());
        let count = i32::try_from(unknown.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for name in unknown {
            put_cstr(out, name);
        }
    });
}

pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, b'S', |out| {
        put_cstr(out, name);
        put_cstr(out, value);
    });
}

pub fn backend_key_data(out: &mut Vec<u8>, process_id: i32, secret: i32) {
    message(out, b'K', |out| {
        out.extend_from_slice(&process_id.to_be_bytes());
        out.extend_from_slice(&secret.to_be_bytes());
    });
}

pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    let status = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::InTransaction => b'T',
        TransactionStatus::Failed => b'E',
    };
    out.extend_from_slice(&[b'Z', 0, 0, 0, 5, status]);
}

/// A message without a body.
pub fn bare(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

pub const PARSE_COMPLETE: u8 = b'1';
pub const BIND_COMPLETE: u8 = b'2';
pub const CLOSE_COMPLETE: u8 = b'3';
pub const NO_DATA: u8 = b'n';
pub const PORTAL_SUSPENDED: u8 = b's';
pub const EMPTY_QUERY: u8 = b'I';
pub const COPY_DONE: u8 = b'c';

pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| put_cstr(out, tag));
}

/// `ErrorResponse`; `severity` is `ERROR` or `FATAL`.
pub fn error(out: &mut Vec<u8>, severity: &str, error: &Error) {
    message(out, b'E', |out| put_fields(out, severity, error));
}

pub fn notice(out: &mut Vec<u8>, notice: &Notice) {
    message(out, b'N', |out| {
        put_fields(out, notice.severity, &notice.error)
    });
}

fn put_fields(out: &mut Vec<u8>, severity: &str, error: &Error) {
    let fields = error.fields();
    let mut put = |code: u8, text: &str| {
        out.push(code);
        put_cstr(out, text);
    };
    put(b'S', severity);
    put(b'V', severity);
    put(b'C', fields.state.code());
    put(b'M', &fields.message);
    let optional = [
        (b'D', &fields.detail),
        (b'H', &fields.hint),
        (b'W', &fields.context),
        (b's', &fields.schema),
        (b't', &fields.table),
        (b'c', &fields.column),
        (b'n', &fields.constraint),
        (b'R', &fields.routine),
    ];
    for (code, text) in optional {
        if let Some(text) = text {
            put(code, text);
        }
    }
    if let Some(position) = fields.position {
        put(b'P', &position.to_string());
    }
    out.push(0);
}

/// `ParameterDescription`.
pub fn parameter_description(out: &mut Vec<u8>, types: &[u32]) {
    message(out, b't', |out| {
        put_count(out, types.len());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

/// `RowDescription`; columns without a format are in text.
pub fn row_description(out: &mut Vec<u8>, columns: &[ResultColumn], formats: &[Format]) {
    message(out, b'T', |out| {
        put_count(out, columns.len());
        for (at, column) in columns.iter().enumerate() {
            put_cstr(out, &column.name);
            out.extend_from_slice(&column.table.to_be_bytes());
            out.extend_from_slice(&column.attribute.to_be_bytes());
            out.extend_from_slice(&column.ty.oid.to_be_bytes());
            out.extend_from_slice(&type_size(column.ty).to_be_bytes());
            out.extend_from_slice(&column.ty.typmod.to_be_bytes());
            let format = formats.get(at).copied().unwrap_or(Format::Text);
            out.extend_from_slice(&format_code(format).to_be_bytes());
        }
    });
}

fn format_code(format: Format) -> u16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}

/// `pg_type.typlen`: bytes of a value, -1 when they vary.
fn type_size(ty: PgType) -> i16 {
    match ty.oid {
        oid::BOOL | oid::CHAR => 1,
        oid::INT2 => 2,
        oid::INT4 | oid::FLOAT4 | oid::DATE | oid::OID | oid::XID | oid::VOID => 4,
        oid::REGPROC | oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE => 4,
        oid::INT8 | oid::FLOAT8 | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => 8,
        oid::INTERVAL | oid::UUID | oid::ACLITEM => 16,
        oid::NAME => 64,
        oid::UNKNOWN => -2,
        _ => -1,
    }
}

/// The largest `DataRow` or `CopyData` that is sent, as PostgreSQL's `MaxAllocSize`.
const MAX_ROW: usize = 0x3fff_ffff;

fn too_large() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        "a result row exceeds 1 GB",
    )
}

/// `DataRow` of one row of a block.
///
/// # Errors
/// When a value has no form in its column's format: then nothing is appended.
pub fn data_row(out: &mut Vec<u8>, block: &RowBlock, row: usize) -> Result<()> {
    let start = out.len();
    let written = put_row(out, block, row);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn put_row(out: &mut Vec<u8>, block: &RowBlock, row: usize) -> Result<()> {
    out.push(b'D');
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put_count(out, block.columns.len());
    for column in 0..block.columns.len() {
        let at = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        if block.write_cell(row, column, out)? {
            let length = out.len() - at - 4;
            patch(out, at, i32::try_from(length).map_err(|_| too_large())?);
        }
    }
    let length = out.len() - start;
    if length > MAX_ROW {
        return Err(too_large());
    }
    patch(out, start, i32::try_from(length).map_err(|_| too_large())?);
    Ok(())
}

/// `CopyInResponse` (`G`) or `CopyOutResponse` (`H`).
pub fn copy_response(out: &mut Vec<u8>, tag: u8, shape: CopyShape) {
    let code = format_code(shape.format);
    message(out, tag, |out| {
        out.push(u8::from(shape.format == Format::Binary));
        put_count(out, shape.columns);
        for _ in 0..shape.columns.min(usize::from(u16::MAX)) {
            out.extend_from_slice(&code.to_be_bytes());
        }
    });
}

pub fn copy_data(out: &mut Vec<u8>, data: &[u8]) -> Result<()> {
    if data.len() > MAX_ROW {
        return Err(too_large());
    }
    message(out, b'd', |out| out.extend_from_slice(data));
    Ok(())
}
