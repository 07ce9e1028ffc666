//! Column definitions of CREATE TABLE and ADD COLUMN, read into what they make.

use datafusion::sql::sqlparser::ast::{
    self, CheckConstraint, ColumnDef, ColumnOption, ConstraintCharacteristics, DataType, Expr,
    ForeignKeyConstraint, GeneratedAs, IndexColumn, ObjectName, TableConstraint,
};

use super::sequence_options::SequenceOptions;
use crate::catalog::{Column, Identity, fold};
use crate::error::{Error, Result, SqlState};
use crate::types::{PgType, names, oid};

/// A column as defined, before names are resolved.
pub(super) struct NewColumn {
    pub column: Column,
    pub default: Option<Expr>,
    /// SERIAL, or an identity with its options: a sequence is made for it.
    pub sequence: Option<SequenceOptions>,
    pub constraints: Vec<NewConstraint>,
}

/// A constraint as defined, before names are resolved.
#[derive(Clone)]
pub(super) struct NewConstraint {
    pub name: Option<String>,
    pub kind: NewKind,
    /// UNIQUE NULLS NOT DISTINCT.
    pub nulls_not_distinct: bool,
}

#[derive(Clone)]
pub(super) enum NewKind {
    PrimaryKey(Vec<String>),
    Unique(Vec<String>),
    Check(Expr),
    ForeignKey {
        columns: Vec<String>,
        definition: Box<ForeignKeyConstraint>,
    },
}

const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Reads one column definition of table `table`.
pub(super) fn read(table: &str, definition: &ColumnDef) -> Result<NewColumn> {
    let name = fold(&definition.name);
    if SYSTEM_COLUMNS.contains(&name.as_str()) {
        return Err(Error::new(
            SqlState::DUPLICATE_COLUMN,
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    let serial = serial_type(&definition.data_type);
    let ty = match serial {
        Some(ty) => ty,
        None => column_type(&name, &definition.data_type)?,
    };
    let mut new = NewColumn {
        column: Column {
            not_null: serial.is_some(),
            ..Column::plain(&name, ty)
        },
        default: None,
        sequence: serial.map(|ty| SequenceOptions {
            ty: Some(ty),
            ..SequenceOptions::default()
        }),
        constraints: Vec::new(),
    };
    let mut null = None;
    let conflicting = || {
        Error::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{table}\""
            ),
        )
    };
    for option in &definition.options {
        let constraint = option.name.as_ref().map(fold);
        match &option.option {
            ColumnOption::Null => {
                if null == Some(false) || new.column.not_null {
                    return Err(conflicting());
                }
                null = Some(true);
            }
            ColumnOption::NotNull => {
                if null == Some(true) {
                    return Err(conflicting());
                }
                null = Some(false);
                new.column.not_null = true;
            }
            ColumnOption::Default(expr) => {
                if new.default.is_some() || serial.is_some() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple default values specified for column \"{name}\" of table \"{table}\""
                        ),
                    ));
                }
                if new.column.identity.is_some() {
                    return Err(default_and_identity(&name, table));
                }
                new.default = Some(expr.clone());
            }
            ColumnOption::PrimaryKey(definition) => {
                check_timing(definition.characteristics.as_ref())?;
                new.column.not_null = true;
                let kind = NewKind::PrimaryKey(vec![name.clone()]);
                new.constraints.push(NewConstraint {
                    name: constraint,
                    kind,
                    nulls_not_distinct: false,
                });
            }
            ColumnOption::Unique(definition) => {
                check_timing(definition.characteristics.as_ref())?;
                let kind = NewKind::Unique(vec![name.clone()]);
                new.constraints.push(NewConstraint {
                    name: constraint,
                    kind,
                    nulls_not_distinct: not_distinct(definition.nulls_distinct),
                });
            }
            ColumnOption::Check(check) => {
                new.constraints.push(NewConstraint {
                    name: constraint,
                    kind: check_kind(check)?,
                    nulls_not_distinct: false,
                });
            }
            ColumnOption::ForeignKey(definition) => {
                check_timing(definition.characteristics.as_ref())?;
                let kind = NewKind::ForeignKey {
                    columns: vec![name.clone()],
                    definition: Box::new(definition.clone()),
                };
                new.constraints.push(NewConstraint {
                    name: constraint,
                    kind,
                    nulls_not_distinct: false,
                });
            }
            ColumnOption::Collation(collation) => check_collation(collation, ty)?,
            ColumnOption::Generated {
                generated_as,
                sequence_options,
                generation_expr: None,
                ..
            } => {
                let identity = match generated_as {
                    GeneratedAs::Always => Identity::Always,
                    GeneratedAs::ByDefault => Identity::ByDefault,
                    GeneratedAs::ExpStored => return Err(generated_column()),
                };
                if new.default.is_some() || serial.is_some() {
                    return Err(default_and_identity(&name, table));
                }
                if new.column.identity.is_some() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!(
                            "multiple identity specifications for column \"{name}\" of table \"{table}\""
                        ),
                    ));
                }
                if null == Some(true) {
                    return Err(conflicting());
                }
                let options = sequence_options.as_deref().unwrap_or(&[]);
                set_identity(&mut new, identity, SequenceOptions::from_ast(options)?)?;
            }
            ColumnOption::Generated { .. } => return Err(generated_column()),
            other => {
                return Err(Error::unsupported(
                    format!("the column option {other}"),
                    "Use NOT NULL, DEFAULT, CHECK, UNIQUE, PRIMARY KEY, REFERENCES or an identity.",
                ));
            }
        }
    }
    Ok(new)
}

/// Makes a column an identity.
pub(super) fn set_identity(
    new: &mut NewColumn,
    identity: Identity,
    mut options: SequenceOptions,
) -> Result<()> {
    if super::sequence_options::range(new.column.ty).is_none() {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "identity column type must be smallint, integer, or bigint",
        ));
    }
    options.ty = Some(new.column.ty);
    new.column.identity = Some(identity);
    new.column.not_null = true;
    new.sequence = Some(options);
    Ok(())
}

fn default_and_identity(column: &str, table: &str) -> Error {
    Error::new(
        SqlState::SYNTAX_ERROR,
        format!("both default and identity specified for column \"{column}\" of table \"{table}\""),
    )
}

fn generated_column() -> Error {
    Error::unsupported(
        "a generated column (GENERATED ALWAYS AS (…) STORED)",
        "Compute the value in a view, or write it with each row.",
    )
}

/// Reads a table constraint.
pub(super) fn read_constraint(constraint: &TableConstraint) -> Result<NewConstraint> {
    Ok(match constraint {
        TableConstraint::PrimaryKey(it) => {
            check_timing(it.characteristics.as_ref())?;
            check_index_options(it.index_options.is_empty() && it.index_type.is_none())?;
            NewConstraint {
                name: it.name.as_ref().map(fold),
                kind: NewKind::PrimaryKey(key_columns(&it.columns)?),
                nulls_not_distinct: false,
            }
        }
        TableConstraint::Unique(it) => {
            check_timing(it.characteristics.as_ref())?;
            check_index_options(it.index_options.is_empty() && it.index_type.is_none())?;
            NewConstraint {
                name: it.name.as_ref().map(fold),
                kind: NewKind::Unique(key_columns(&it.columns)?),
                nulls_not_distinct: not_distinct(it.nulls_distinct),
            }
        }
        TableConstraint::ForeignKey(it) => {
            check_timing(it.characteristics.as_ref())?;
            NewConstraint {
                name: it.name.as_ref().map(fold),
                kind: NewKind::ForeignKey {
                    columns: it.columns.iter().map(fold).collect(),
                    definition: Box::new(it.clone()),
                },
                nulls_not_distinct: false,
            }
        }
        TableConstraint::Check(it) => NewConstraint {
            name: it.name.as_ref().map(fold),
            kind: check_kind(it)?,
            nulls_not_distinct: false,
        },
        other => {
            return Err(Error::unsupported(
                format!("the table constraint {other}"),
                "Use PRIMARY KEY, UNIQUE, CHECK or FOREIGN KEY with a list of columns.",
            ));
        }
    })
}

fn check_kind(check: &CheckConstraint) -> Result<NewKind> {
    if check.enforced == Some(false) {
        return Err(Error::unsupported(
            "CHECK … NOT ENFORCED",
            "Leave the constraint out.",
        ));
    }
    Ok(NewKind::Check(check.expr.as_ref().clone()))
}

/// Column names of a key; expressions, orders and operator classes have no place there.
fn key_columns(columns: &[IndexColumn]) -> Result<Vec<String>> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(ident)
                if column.operator_class.is_none()
                    && column.column.options == ast::OrderByOptions::default() =>
            {
                Ok(fold(ident))
            }
            _ => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "a key constraint takes plain column names",
            )),
        })
        .collect()
}

fn check_index_options(plain: bool) -> Result<()> {
    if plain {
        return Ok(());
    }
    Err(Error::unsupported(
        "an index option of a constraint",
        "Leave it out: indexes are ordered by the listed columns.",
    ))
}

/// Constraints are checked at the end of each statement; they cannot wait for COMMIT.
fn check_timing(characteristics: Option<&ConstraintCharacteristics>) -> Result<()> {
    let Some(it) = characteristics else {
        return Ok(());
    };
    if it.deferrable == Some(true) || it.initially == Some(ast::DeferrableInitial::Deferred) {
        return Err(Error::unsupported(
            "a DEFERRABLE constraint",
            "Leave DEFERRABLE out: constraints are checked at the end of each statement.",
        ));
    }
    if it.enforced == Some(false) {
        return Err(Error::unsupported(
            "a constraint that is NOT ENFORCED",
            "Leave the constraint out.",
        ));
    }
    Ok(())
}

fn not_distinct(nulls: ast::NullsDistinctOption) -> bool {
    matches!(nulls, ast::NullsDistinctOption::NotDistinct)
}

/// Text is compared by its bytes; any other order is refused.
pub(super) fn check_collation(collation: &ObjectName, ty: PgType) -> Result<()> {
    let name = collation
        .0
        .last()
        .and_then(|part| part.as_ident())
        .map(fold)
        .unwrap_or_default();
    if !matches!(ty.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME) {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "collations are not supported by type {}",
                names::format_type(ty)
            ),
        ));
    }
    if matches!(
        name.as_str(),
        "default" | "C" | "POSIX" | "ucs_basic" | "C.UTF-8" | "C.utf8"
    ) {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("collation \"{name}\""),
        "Text is ordered by its bytes: use COLLATE \"C\", or leave the clause out.",
    ))
}

/// The integer type behind SERIAL, SMALLSERIAL and BIGSERIAL.
fn serial_type(ty: &DataType) -> Option<PgType> {
    let DataType::Custom(name, arguments) = ty else {
        return None;
    };
    if !arguments.is_empty() || name.0.len() != 1 {
        return None;
    }
    match fold(name.0.first()?.as_ident()?).as_str() {
        "smallserial" | "serial2" => Some(PgType::INT2),
        "serial" | "serial4" => Some(PgType::INT4),
        "bigserial" | "serial8" => Some(PgType::INT8),
        _ => None,
    }
}

/// The type of a column; pseudo-types are refused.
pub(super) fn column_type(name: &str, ty: &DataType) -> Result<PgType> {
    let ty = names::from_sql(ty)?;
    if matches!(ty.oid, oid::VOID | oid::RECORD | oid::UNKNOWN) {
        return Err(Error::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!(
                "column \"{name}\" has pseudo-type {}",
                names::format_type(ty)
            ),
        ));
    }
    Ok(ty)
}
