//! Functions that look into the catalog: `pg_get_constraintdef`, `format_type`,
//! `pg_table_is_visible`, `has_table_privilege`, ….

mod look_up;
mod privileges;
mod system;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::rows::Source;
use crate::error::{Error, Result};
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Datum, PgType, names};

/// One row's arguments to one row's value.
type Run = fn(&Source, &[Datum<'_>]) -> Result<Datum<'static>>;

/// What the functions read is text, numbers and OIDs: no time zone is ever shown.
const ZONE: &str = "UTC";

struct Function {
    name: &'static str,
    result: PgType,
    /// NULL for any NULL argument.
    strict: bool,
    run: Run,
    signature: Signature,
}

/// (name, result, strict, function)
const FUNCTIONS: &[(&str, PgType, bool, Run)] = &[
    ("format_type", PgType::TEXT, false, format_type),
    ("pg_get_expr", PgType::TEXT, true, first_text),
    (
        "pg_get_constraintdef",
        PgType::TEXT,
        true,
        look_up::constraint_def,
    ),
    ("pg_get_indexdef", PgType::TEXT, true, look_up::index_def),
    ("pg_get_viewdef", PgType::TEXT, true, look_up::view_def),
    ("pg_get_userbyid", PgType::NAME, true, look_up::user_by_id),
    (
        "pg_table_is_visible",
        PgType::BOOL,
        true,
        look_up::table_is_visible,
    ),
    ("pg_type_is_visible", PgType::BOOL, true, always),
    ("pg_function_is_visible", PgType::BOOL, true, always),
    ("pg_operator_is_visible", PgType::BOOL, true, always),
    ("pg_opclass_is_visible", PgType::BOOL, true, always),
    ("pg_opfamily_is_visible", PgType::BOOL, true, always),
    ("pg_collation_is_visible", PgType::BOOL, true, always),
    ("pg_conversion_is_visible", PgType::BOOL, true, always),
    ("pg_statistics_obj_is_visible", PgType::BOOL, true, always),
    ("pg_ts_config_is_visible", PgType::BOOL, true, always),
    ("pg_ts_dict_is_visible", PgType::BOOL, true, always),
    ("pg_ts_parser_is_visible", PgType::BOOL, true, always),
    ("pg_ts_template_is_visible", PgType::BOOL, true, always),
    (
        "obj_description",
        PgType::TEXT,
        true,
        look_up::obj_description,
    ),
    (
        "col_description",
        PgType::TEXT,
        true,
        look_up::col_description,
    ),
    (
        "shobj_description",
        PgType::TEXT,
        true,
        look_up::shobj_description,
    ),
    (
        "pg_encoding_to_char",
        PgType::NAME,
        true,
        look_up::encoding_to_char,
    ),
    (
        "pg_char_to_encoding",
        PgType::INT4,
        true,
        look_up::char_to_encoding,
    ),
    (
        "pg_get_serial_sequence",
        PgType::TEXT,
        true,
        look_up::serial_sequence,
    ),
    ("pg_get_partkeydef", PgType::TEXT, true, null),
    ("pg_get_ruledef", PgType::TEXT, true, null),
    ("pg_get_triggerdef", PgType::TEXT, true, null),
    ("pg_get_functiondef", PgType::TEXT, true, null),
    ("pg_get_function_result", PgType::TEXT, true, null),
    ("pg_get_function_arguments", PgType::TEXT, true, null),
    (
        "pg_get_function_identity_arguments",
        PgType::TEXT,
        true,
        null,
    ),
    ("pg_get_statisticsobjdef", PgType::TEXT, true, null),
    ("pg_get_statisticsobjdef_columns", PgType::TEXT, true, null),
    ("pg_relation_is_publishable", PgType::BOOL, true, never),
    (
        "pg_relation_is_updatable",
        PgType::INT4,
        true,
        system::updatable,
    ),
    ("pg_tablespace_location", PgType::TEXT, true, empty_text),
    ("pg_relation_filenode", PgType::OID, true, system::filenode),
    ("pg_table_size", PgType::INT8, true, system::size),
    ("pg_relation_size", PgType::INT8, true, system::size),
    ("pg_total_relation_size", PgType::INT8, true, system::size),
    ("pg_indexes_size", PgType::INT8, true, system::size),
    ("pg_database_size", PgType::INT8, true, system::no_size),
    ("pg_tablespace_size", PgType::INT8, true, system::no_size),
    ("pg_size_pretty", PgType::TEXT, true, system::size_pretty),
    ("pg_is_other_temp_schema", PgType::BOOL, true, never),
    ("pg_my_temp_schema", PgType::OID, true, zero_oid),
    ("pg_has_role", PgType::BOOL, true, privileges::has_role),
    (
        "has_table_privilege",
        PgType::BOOL,
        true,
        privileges::has_table,
    ),
    (
        "has_any_column_privilege",
        PgType::BOOL,
        true,
        privileges::has_any_column,
    ),
    (
        "has_column_privilege",
        PgType::BOOL,
        true,
        privileges::has_column,
    ),
    (
        "has_sequence_privilege",
        PgType::BOOL,
        true,
        privileges::has_sequence,
    ),
    (
        "has_schema_privilege",
        PgType::BOOL,
        true,
        privileges::has_schema,
    ),
    (
        "has_database_privilege",
        PgType::BOOL,
        true,
        privileges::has_database,
    ),
    ("pg_is_in_recovery", PgType::BOOL, true, never),
    (
        "pg_postmaster_start_time",
        PgType::TIMESTAMPTZ,
        true,
        system::start_time,
    ),
    (
        "pg_conf_load_time",
        PgType::TIMESTAMPTZ,
        true,
        system::start_time,
    ),
    ("has_function_privilege", PgType::BOOL, true, always),
    ("has_language_privilege", PgType::BOOL, true, always),
    ("has_type_privilege", PgType::BOOL, true, always),
    (
        "has_tablespace_privilege",
        PgType::BOOL,
        true,
        privileges::has_other,
    ),
    (
        "has_foreign_data_wrapper_privilege",
        PgType::BOOL,
        true,
        privileges::has_other,
    ),
    (
        "has_server_privilege",
        PgType::BOOL,
        true,
        privileges::has_other,
    ),
];

pub(super) fn all() -> Vec<ScalarUDF> {
    FUNCTIONS
        .iter()
        .map(|(name, result, strict, run)| {
            ScalarUDF::new_from_impl(Function {
                name,
                result: *result,
                strict: *strict,
                run: *run,
                // PostgreSQL overloads these by the number and the types of arguments; each
                // function takes what it is given apart itself.
                signature: Signature::one_of(
                    vec![
                        datafusion::logical_expr::TypeSignature::Nullary,
                        datafusion::logical_expr::TypeSignature::VariadicAny,
                    ],
                    Volatility::Stable,
                ),
            })
        })
        .collect()
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(columns::data_type(self.result, ZONE))
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        Ok(Arc::new(columns::field(self.name, self.result, true, ZONE)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let external = |error: Error| DataFusionError::External(Box::new(error));
        let source = source(&args.config_options).map_err(external)?;
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let types: Vec<PgType> = args
            .arg_fields
            .iter()
            .map(|field| columns::pg_type(field))
            .collect();
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<DfResult<Vec<ArrayRef>>>()?;
        let array = self
            .column(&source, &arrays, &types, rows)
            .map_err(external)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl Function {
    fn column(
        &self,
        source: &Source,
        arrays: &[ArrayRef],
        types: &[PgType],
        rows: usize,
    ) -> Result<ArrayRef> {
        let mut builder = ColumnBuilder::new(self.result, ZONE, rows);
        for row in 0..rows {
            let mut values = Vec::with_capacity(arrays.len());
            for (array, ty) in arrays.iter().zip(types) {
                values.push(columns::get(array.as_ref(), row, *ty)?);
            }
            let value = if self.strict && values.iter().any(Datum::is_null) {
                Datum::Null
            } else {
                (self.run)(source, &values)?
            };
            builder.append(&value)?;
        }
        Ok(builder.finish())
    }
}

/// The catalog and the session that a call belongs to.
fn source(options: &ConfigOptions) -> Result<Source> {
    let (catalog, info) = crate::query::surroundings(options)?;
    Ok(Source {
        catalog: catalog.clone(),
        info: info.clone(),
    })
}

/// An argument that is an OID, as any of the types that mean one.
fn oid(datum: Option<&Datum<'_>>) -> Option<u32> {
    match datum? {
        Datum::Oid(value) => Some(*value),
        Datum::Int2(value) => u32::try_from(*value).ok(),
        Datum::Int4(value) => u32::try_from(*value).ok(),
        Datum::Int8(value) => u32::try_from(*value).ok(),
        Datum::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn int(datum: Option<&Datum<'_>>) -> Option<i64> {
    match datum? {
        Datum::Int2(value) => Some(i64::from(*value)),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int8(value) => Some(*value),
        Datum::Oid(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn string<'d>(datum: Option<&'d Datum<'_>>) -> Option<&'d str> {
    match datum? {
        Datum::Text(text) => Some(text),
        _ => None,
    }
}

fn or_null(text: Option<String>) -> Result<Datum<'static>> {
    Ok(text.map_or(Datum::Null, Datum::text))
}

fn always(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Bool(true))
}

fn never(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Bool(false))
}

fn null(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Null)
}

fn empty_text(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::text(""))
}

fn zero_oid(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Oid(0))
}

fn first_text(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    or_null(string(args.first()).map(str::to_owned))
}

fn format_type(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(oid) = oid(args.first()) else {
        return Ok(Datum::Null);
    };
    if oid == 0 {
        return Ok(Datum::text("-"));
    }
    let typmod = int(args.get(1))
        .and_then(|it| i32::try_from(it).ok())
        .unwrap_or(-1);
    let shown = match (oid, typmod) {
        // Without a modifier to show, the type is `character`.
        (crate::types::oid::BPCHAR, -1) if args.get(1).is_none_or(Datum::is_null) => {
            "character".to_owned()
        }
        _ => names::format_type(PgType::with_typmod(oid, typmod)),
    };
    Ok(Datum::text(shown))
}
