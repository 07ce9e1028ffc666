//! The JavaScript interface.

use js_sys::{Array, BigInt, Date, Error as JsError, JsString, Object, Reflect, Uint8Array};
use omendb_core::session::{Format, Parameter};
use wasm_bindgen::prelude::*;

use crate::connection::{Connection, StatementResult};

/// A database in memory.
#[wasm_bindgen]
pub struct OmenDb {
    connection: Connection,
}

#[wasm_bindgen]
impl OmenDb {
    /// Opens an empty database in memory.
    pub fn memory() -> Result<OmenDb, JsValue> {
        Connection::memory()
            .map(|connection| OmenDb { connection })
            .map_err(|error| throw(&error))
    }

    /// Runs SQL; an array with one `{columns, rows, tag}` for each statement, cells as text or null.
    pub fn query(&mut self, sql: &str) -> Result<Array, JsValue> {
        let results = self.connection.query(sql).map_err(|error| throw(&error))?;
        results.iter().map(object).collect()
    }

    /// Prepares one statement with parameters `$1`, `$2` … under a name; `DEALLOCATE name` ends it.
    pub fn prepare(&mut self, name: &str, sql: &str) -> Result<(), JsValue> {
        let prepared = self.connection.prepare(name, sql);
        prepared.map_err(|error| throw(&error))
    }

    /// Runs a prepared statement; `{columns, rows, tag}`. A parameter is null, a string, a number, a
    /// bigint, a boolean, a Date (a timestamptz) or a Uint8Array (a bytea).
    pub fn execute(&mut self, name: &str, parameters: &Array) -> Result<JsValue, JsValue> {
        let values: Vec<_> = parameters.iter().map(value).collect::<Result<_, _>>()?;
        let parameters: Vec<Parameter<'_>> = values
            .iter()
            .map(|(format, value)| Parameter {
                format: *format,
                value: value.as_deref(),
            })
            .collect();
        let result = self.connection.execute(name, &parameters);
        object(&result.map_err(|error| throw(&error))?)
    }
}

/// A parameter as the engine takes it.
fn value(value: JsValue) -> Result<(Format, Option<Vec<u8>>), JsValue> {
    let text = |text: JsString| Ok((Format::Text, Some(String::from(text).into_bytes())));
    if value.is_null() || value.is_undefined() {
        Ok((Format::Text, None))
    } else if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        Ok((Format::Binary, Some(bytes.to_vec())))
    } else if let Some(date) = value.dyn_ref::<Date>() {
        text(date.to_iso_string())
    } else if let Some(number) = value.dyn_ref::<BigInt>() {
        text(number.to_string(10)?)
    } else if let Some(string) = value.dyn_ref::<JsString>() {
        text(string.clone())
    } else if let Some(truth) = value.as_bool() {
        text(if truth { "true" } else { "false" }.into())
    } else if let Some(number) = value.as_f64() {
        text(js_sys::Number::from(number).to_string_with_radix(10)?)
    } else {
        let message =
            "a parameter is null, a string, a number, a bigint, a boolean, a Date or a Uint8Array";
        Err(js_sys::TypeError::new(message).into())
    }
}

/// An `Error` with the SQLSTATE as `code`, and the other fields of PostgreSQL where there are any;
/// `position` counts characters from 1.
fn throw(error: &omendb_core::Error) -> JsValue {
    let fields = error.fields();
    let value: JsValue = JsError::new(&fields.message).into();
    let optional =
        |text: &Option<String>| text.as_deref().map_or(JsValue::UNDEFINED, JsValue::from);
    let position = fields
        .position
        .map_or(JsValue::UNDEFINED, |at| JsValue::from_f64(at as f64));
    for (name, field) in [
        ("code", JsValue::from(fields.state.code())),
        ("detail", optional(&fields.detail)),
        ("hint", optional(&fields.hint)),
        ("context", optional(&fields.context)),
        ("schema", optional(&fields.schema)),
        ("table", optional(&fields.table)),
        ("column", optional(&fields.column)),
        ("constraint", optional(&fields.constraint)),
        ("position", position),
    ] {
        // Setting a property of a fresh object cannot fail.
        let _ = Reflect::set(&value, &name.into(), &field);
    }
    value
}

fn object(result: &StatementResult) -> Result<JsValue, JsValue> {
    let columns: Array = result.columns.iter().map(JsValue::from).collect();
    let rows: Array = result
        .rows
        .iter()
        .map(|row| {
            let cells = row
                .iter()
                .map(|cell| cell.as_deref().map_or(JsValue::NULL, JsValue::from));
            JsValue::from(cells.collect::<Array>())
        })
        .collect();
    let object = Object::new();
    Reflect::set(&object, &"columns".into(), &columns)?;
    Reflect::set(&object, &"rows".into(), &rows)?;
    Reflect::set(&object, &"tag".into(), &JsValue::from(&result.tag))?;
    Ok(object.into())
}
