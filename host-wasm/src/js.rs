//! The JavaScript interface.

use js_sys::{Array, Error as JsError, Object, Reflect};
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
}

/// An `Error` with the SQLSTATE as `code`, and `detail` and `hint` where there are any.
fn throw(error: &omendb_core::Error) -> JsValue {
    let fields = error.fields();
    let value: JsValue = JsError::new(&fields.message).into();
    let optional =
        |text: &Option<String>| text.as_deref().map_or(JsValue::UNDEFINED, JsValue::from);
    for (name, field) in [
        ("code", JsValue::from(fields.state.code())),
        ("detail", optional(&fields.detail)),
        ("hint", optional(&fields.hint)),
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
