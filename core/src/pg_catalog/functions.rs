//! Functions that look into the catalog: `pg_get_constraintdef`, `format_type`,
//! `pg_table_is_visible`, `has_table_privilege`, ….

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
use super::tables_of;
use super::{definitions, deparse};
use crate::catalog::{Object, quote};
use crate::error::{Error, Result, SqlState};
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
    ("pg_get_constraintdef", PgType::TEXT, true, constraint_def),
    ("pg_get_indexdef", PgType::TEXT, true, index_def),
    ("pg_get_viewdef", PgType::TEXT, true, view_def),
    ("pg_get_userbyid", PgType::NAME, true, user_by_id),
    ("pg_table_is_visible", PgType::BOOL, true, table_is_visible),
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
    ("obj_description", PgType::TEXT, true, obj_description),
    ("col_description", PgType::TEXT, true, col_description),
    ("shobj_description", PgType::TEXT, true, shobj_description),
    ("pg_encoding_to_char", PgType::NAME, true, encoding_to_char),
    ("pg_char_to_encoding", PgType::INT4, true, char_to_encoding),
    (
        "pg_get_serial_sequence",
        PgType::TEXT,
        true,
        serial_sequence,
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
    ("pg_relation_is_updatable", PgType::INT4, true, updatable),
    ("pg_tablespace_location", PgType::TEXT, true, empty_text),
    ("pg_relation_filenode", PgType::OID, true, filenode),
    ("pg_table_size", PgType::INT8, true, size),
    ("pg_relation_size", PgType::INT8, true, size),
    ("pg_total_relation_size", PgType::INT8, true, size),
    ("pg_indexes_size", PgType::INT8, true, size),
    ("pg_database_size", PgType::INT8, true, size),
    ("pg_tablespace_size", PgType::INT8, true, size),
    ("pg_size_pretty", PgType::TEXT, true, size_pretty),
    ("pg_is_other_temp_schema", PgType::BOOL, true, never),
    ("pg_my_temp_schema", PgType::OID, true, zero_oid),
    ("pg_has_role", PgType::BOOL, true, has_role),
    (
        "has_table_privilege",
        PgType::BOOL,
        true,
        has_relation_privilege,
    ),
    (
        "has_any_column_privilege",
        PgType::BOOL,
        true,
        has_relation_privilege,
    ),
    (
        "has_column_privilege",
        PgType::BOOL,
        true,
        has_column_privilege,
    ),
    (
        "has_sequence_privilege",
        PgType::BOOL,
        true,
        has_relation_privilege,
    ),
    (
        "has_schema_privilege",
        PgType::BOOL,
        true,
        has_schema_privilege,
    ),
    (
        "has_database_privilege",
        PgType::BOOL,
        true,
        has_other_privilege,
    ),
    ("has_function_privilege", PgType::BOOL, true, always),
    ("has_language_privilege", PgType::BOOL, true, always),
    ("has_type_privilege", PgType::BOOL, true, always),
    (
        "has_tablespace_privilege",
        PgType::BOOL,
        true,
        has_other_privilege,
    ),
    (
        "has_foreign_data_wrapper_privilege",
        PgType::BOOL,
        true,
        has_other_privilege,
    ),
    (
        "has_server_privilege",
        PgType::BOOL,
        true,
        has_other_privilege,
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

fn constraint_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let wanted = oid(args.first());
    let path = &source.info.search_path;
    let pretty = matches!(args.get(1), Some(Datum::Bool(true)));
    or_null(tables_of(source).find_map(|table| {
        let found = table.constraints.iter().find(|it| Some(it.oid) == wanted)?;
        Some(deparse::constraint_definition(
            &source.catalog,
            path,
            table,
            found,
            pretty,
        ))
    }))
}

fn index_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Object::Index(index)) = oid(args.first()).and_then(|it| source.catalog.object(it))
    else {
        return Ok(Datum::Null);
    };
    match int(args.get(1)).unwrap_or(0) {
        0 => or_null(deparse::index_definition(&source.catalog, index)),
        column => {
            let at = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
            let name = index.columns.get(at).and_then(|at| {
                Some(quote(
                    &source.catalog.table(index.table)?.columns.get(*at)?.name,
                ))
            });
            Ok(Datum::text(name.unwrap_or_default()))
        }
    }
}

fn view_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let object = match string(args.first()) {
        Some(name) => Some(relation_by_name(source, name)?),
        None => oid(args.first())
            .and_then(|it| source.catalog.object(it))
            .cloned(),
    };
    Ok(match object {
        Some(Object::View(view)) => Datum::text(deparse::view_text(&view)),
        Some(_) => Datum::text("Not a view"),
        None => Datum::Null,
    })
}

fn user_by_id(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(oid) = oid(args.first()) else {
        return Ok(Datum::Null);
    };
    Ok(Datum::text(match source.catalog.object(oid) {
        Some(Object::Role(role)) => role.name.clone(),
        _ => format!("unknown (OID={oid})"),
    }))
}

fn table_is_visible(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(oid) = oid(args.first()) else {
        return Ok(Datum::Null);
    };
    if let Some(object) = source.catalog.object(oid) {
        return Ok(Datum::Bool(
            source.catalog.is_visible(object, &source.info.search_path),
        ));
    }
    let system = definitions::all().iter().find(|it| it.oid == oid);
    Ok(system.map_or(Datum::Null, |it| Datum::Bool(it.schema == "pg_catalog")))
}

fn description(source: &Source, object: u32, part: i32) -> Option<String> {
    super::comments_of(source)
        .into_iter()
        .find(|(_, oid, sub, _)| *oid == object && *sub == part)
        .map(|(_, _, _, text)| text)
}

fn obj_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    or_null(oid(args.first()).and_then(|object| description(source, object, 0)))
}

fn col_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let part = int(args.get(1))
        .and_then(|it| i32::try_from(it).ok())
        .filter(|it| *it > 0);
    or_null(match (oid(args.first()), part) {
        (Some(object), Some(part)) => description(source, object, part),
        _ => None,
    })
}

fn shobj_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let role =
        oid(args.first()).filter(|it| matches!(source.catalog.object(*it), Some(Object::Role(_))));
    or_null(
        role.and_then(|it| source.catalog.comment(it, 0))
            .map(str::to_owned),
    )
}

fn encoding_to_char(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::text(match int(args.first()) {
        Some(6) => "UTF8",
        Some(0) => "SQL_ASCII",
        _ => "",
    }))
}

fn char_to_encoding(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let name = string(args.first()).unwrap_or("").to_ascii_lowercase();
    Ok(Datum::Int4(match name.as_str() {
        "utf8" | "utf-8" | "unicode" => 6,
        "sql_ascii" => 0,
        _ => -1,
    }))
}

/// The relation that text names, in the search path.
fn relation_by_name(source: &Source, written: &str) -> Result<Object> {
    let name = super::parse_name(written)?;
    source
        .catalog
        .resolve_relation(&name, &source.info.search_path)
        .cloned()
}

fn serial_sequence(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (Some(table), Some(column)) = (string(args.first()), string(args.get(1))) else {
        return Ok(Datum::Null);
    };
    let object = relation_by_name(source, table)?;
    let Object::Table(table) = object else {
        return Ok(Datum::Null);
    };
    let at = table.column(column).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!(
                "column \"{column}\" of relation \"{}\" does not exist",
                table.name
            ),
        )
    })?;
    or_null(source.catalog.objects().find_map(|object| match object {
        Object::Sequence(it) if it.owned_by == Some((table.oid, at)) => {
            Some(super::full_name_of(source, it.schema, &it.name))
        }
        _ => None,
    }))
}

fn filenode(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(
        match oid(args.first()).and_then(|it| source.catalog.table(it)) {
            Some(table) => u32::try_from(table.storage).map_or(Datum::Null, Datum::Oid),
            None => Datum::Null,
        },
    )
}

/// Rows share the pages of one file, so no relation has a size of its own: none is told.
fn size(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Null)
}

/// `8192 bytes`, `16 kB`, …, rounded as PostgreSQL rounds.
fn size_pretty(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    const LIMIT: i64 = 10 * 1024;
    let Some(bytes) = int(args.first()) else {
        return Ok(Datum::Null);
    };
    if bytes.saturating_abs() < LIMIT {
        return Ok(Datum::text(format!("{bytes} bytes")));
    }
    // One bit more than shown is kept, to round by.
    let mut size = bytes >> 9;
    let units = ["kB", "MB", "GB", "TB", "PB"];
    for (at, unit) in units.iter().enumerate() {
        if size.saturating_abs() < 2 * LIMIT - 1 || at == units.len() - 1 {
            let half = if size > 0 {
                size.saturating_add(1) / 2
            } else {
                size.saturating_sub(1) / 2
            };
            return Ok(Datum::text(format!("{half} {unit}")));
        }
        size >>= 10;
    }
    Ok(Datum::Null)
}

/// Bits of the commands that write to a relation: UPDATE 4, INSERT 8, DELETE 16.
fn updatable(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let table = oid(args.first()).and_then(|it| source.catalog.table(it));
    Ok(Datum::Int4(if table.is_some() { 28 } else { 0 }))
}

/// The role that a privilege function asks about: its first argument when there is one more than
/// `fixed`, else the session's user. Gives whether it is a superuser, its OID, and the rest.
fn asked<'a, 'd>(
    source: &Source,
    args: &'a [Datum<'d>],
    fixed: usize,
) -> Result<(bool, u32, &'a [Datum<'d>])> {
    let (role, rest) = match args.split_first() {
        Some((role, rest)) if args.len() > fixed => (Some(role), rest),
        _ => (None, args),
    };
    let undefined = |name: String| {
        Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("role \"{name}\" does not exist"),
        )
    };
    let role = match role {
        None => source
            .catalog
            .role(&source.info.user)
            .ok_or_else(|| undefined(source.info.user.clone()))?,
        Some(Datum::Text(name)) if name.as_ref() == "public" => return Ok((false, 0, rest)),
        Some(Datum::Text(name)) => source
            .catalog
            .role(name)
            .ok_or_else(|| undefined(name.to_string()))?,
        Some(other) => match oid(Some(other)).and_then(|it| source.catalog.object(it)) {
            Some(Object::Role(role)) => role,
            _ => return Ok((false, 0, rest)),
        },
    };
    Ok((role.superuser, role.oid, rest))
}

fn object_of(source: &Source, datum: Option<&Datum<'_>>) -> Result<Option<Object>> {
    match string(datum) {
        Some(name) => {
            let parsed = super::parse_name(name)?;
            let schema = parsed.schema.as_deref().unwrap_or("pg_catalog");
            if definitions::find(schema, &parsed.name).is_some() {
                return Ok(None);
            }
            relation_by_name(source, name).map(Some)
        }
        None => Ok(oid(datum).and_then(|it| source.catalog.object(it)).cloned()),
    }
}

fn owner_of(object: &Object) -> u32 {
    match object {
        Object::Table(it) => it.owner,
        Object::View(it) => it.owner,
        Object::Sequence(it) => it.owner,
        Object::Schema(it) => it.owner,
        Object::Index(_) | Object::Role(_) => 0,
    }
}

fn has_relation_privilege(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (superuser, role, rest) = asked(source, args, 2)?;
    let object = object_of(source, rest.first())?;
    Ok(Datum::Bool(
        superuser || object.is_none_or(|object| owner_of(&object) == role),
    ))
}

fn has_column_privilege(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (superuser, role, rest) = asked(source, args, 3)?;
    let object = object_of(source, rest.first())?;
    Ok(Datum::Bool(
        superuser || object.is_none_or(|object| owner_of(&object) == role),
    ))
}

fn has_schema_privilege(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (superuser, role, rest) = asked(source, args, 2)?;
    let schema = match string(rest.first()) {
        Some(name) => {
            let found = source.catalog.schema(name);
            Some(
                found
                    .ok_or_else(|| crate::catalog::undefined_schema(name))?
                    .clone(),
            )
        }
        None => match oid(rest.first()).and_then(|it| source.catalog.object(it)) {
            Some(Object::Schema(schema)) => Some(schema.clone()),
            _ => None,
        },
    };
    let usage = string(rest.get(1)).is_some_and(|it| it.eq_ignore_ascii_case("usage"));
    Ok(match schema {
        None => Datum::Null,
        Some(schema) => Datum::Bool(superuser || schema.owner == role || usage),
    })
}

fn has_other_privilege(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (superuser, _, rest) = asked(source, args, 2)?;
    let connect = string(rest.get(1)).is_some_and(|it| it.eq_ignore_ascii_case("connect"));
    Ok(Datum::Bool(superuser || connect))
}

fn has_role(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (superuser, role, rest) = asked(source, args, 2)?;
    let wanted = match string(rest.first()) {
        Some(name) => source.catalog.role(name).map(|role| role.oid),
        None => oid(rest.first()),
    };
    Ok(Datum::Bool(superuser || wanted == Some(role)))
}
