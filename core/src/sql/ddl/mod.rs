//! Statements that change the catalog, one file a verb.
//!
//! | file | statements |
//! |---|---|
//! | `schema`, `table`, `create_as`, `index`, `view`, `sequence`, `role` | CREATE … (and ALTER where it is small) |
//! | `columns`, `constraint`, `foreign_key`, `expressions` | what a table's definition is made of |
//! | `alter`, `alter_column`, `rename` | ALTER TABLE, VIEW, INDEX |
//! | `grant_forms`, `grant`, `membership`, `default_privileges`, `owned` | GRANT, REVOKE and their like |
//! | `drop`, `depends` | DROP, and who depends on what |
//! | `truncate`, `comment`, `maintenance` | TRUNCATE; COMMENT ON; VACUUM, ANALYZE, LOCK TABLE |
//! | `forms`, `alter_forms`, `alter_idle`, `maintenance_forms`, `token_forms` | the forms that sqlparser cannot read, from tokens |
//! | `refused` | what there is not, by name |
//!
//! Every statement locks what PostgreSQL locks, in its modes; see `scope`.

mod alter;
mod alter_column;
mod alter_forms;
mod alter_idle;
mod columns;
mod comment;
mod constraint;
mod create_as;
mod default_privileges;
mod depends;
mod drop;
mod expressions;
mod foreign_key;
mod forms;
mod grant;
mod grant_forms;
mod identity_order;
mod index;
mod maintenance;
mod maintenance_forms;
mod membership;
mod naming;
mod owned;
mod refused;
mod rename;
mod rewrite;
mod role;
mod role_options;
mod rows;
mod schema;
mod scope;
mod scram;
mod sequence;
mod sequence_options;
mod table;
mod token_forms;
mod truncate;
mod view;
mod view_text;

pub use forms::{Form, parse};
pub use token_forms::normalize as normalize_tokens;

use datafusion::sql::sqlparser::ast::Statement;

use super::{Context, Outcome};
use crate::catalog::QualifiedName;
use crate::error::{Error, Result};
use sequence::CreateSequence;
use sequence_options::SequenceOptions;

/// Whether `statement` is one of this folder's.
pub fn handles(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => create_as::is_select_into(query),
        statement => verb(statement).is_some(),
    }
}

/// What messages call the statement; `None` when it is not one of this folder's.
fn verb(statement: &Statement) -> Option<String> {
    Some(match statement {
        Statement::CreateSchema { .. } => "CREATE SCHEMA".to_owned(),
        Statement::AlterSchema(_) => "ALTER SCHEMA".to_owned(),
        Statement::CreateTable(create) if create.query.is_some() => "CREATE TABLE AS".to_owned(),
        Statement::CreateTable(_) => "CREATE TABLE".to_owned(),
        Statement::CreateIndex(_) => "CREATE INDEX".to_owned(),
        Statement::CreateView(_) => "CREATE VIEW".to_owned(),
        Statement::CreateSequence { .. } => "CREATE SEQUENCE".to_owned(),
        Statement::AlterTable(_) => "ALTER TABLE".to_owned(),
        Statement::Drop { object_type, .. } => format!("DROP {object_type}"),
        Statement::Truncate(_) => "TRUNCATE TABLE".to_owned(),
        Statement::Comment { .. } => "COMMENT".to_owned(),
        Statement::Lock(_) => "LOCK TABLE".to_owned(),
        other => refused::verb(other)?.to_owned(),
    })
}

/// Runs a DDL statement that sqlparser has read.
pub async fn execute(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    match statement {
        Statement::Query(_) => check_writable(context, "SELECT INTO")?,
        Statement::Lock(_) => {}
        statement => {
            let verb = verb(statement)
                .ok_or_else(|| Error::internal("a statement came to the wrong place"))?;
            check_writable(context, &verb)?;
        }
    }
    match statement {
        Statement::Query(query) => create_as::select_into(context, query).await,
        Statement::CreateSchema { .. } => schema::create(context, statement).await,
        Statement::AlterSchema(alter) => schema::alter(context, alter).await,
        Statement::CreateTable(create) => table::create(context, create).await,
        Statement::CreateIndex(create) => index::create(context, create).await,
        Statement::CreateView(create) => view::create(context, create).await,
        Statement::CreateSequence { .. } => create_sequence(context, statement).await,
        Statement::AlterTable(alter) => alter::alter(context, alter).await,
        Statement::Drop { .. } => drop::drop(context, statement).await,
        Statement::Truncate(truncate) => truncate::truncate(context, truncate).await,
        Statement::Comment { .. } => comment::comment(context, statement).await,
        Statement::Lock(lock) => maintenance::lock(context, lock).await,
        other => Err(refused::refuse(other)),
    }
}

/// Runs a DDL statement that this folder has read itself.
pub async fn execute_form(context: &mut Context<'_>, form: &Form) -> Result<Outcome> {
    if let Some(verb) = form.verb() {
        check_writable(context, verb)?;
    }
    forms::execute(context, form).await
}

/// 25006 in a READ ONLY transaction.
fn check_writable(context: &Context<'_>, verb: &str) -> Result<()> {
    match context.txn.options().read_only {
        true => Err(Error::read_only(verb)),
        false => Ok(()),
    }
}

async fn create_sequence(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let Statement::CreateSequence {
        temporary,
        if_not_exists,
        name,
        data_type,
        sequence_options,
        owned_by,
    } = statement
    else {
        return Err(Error::internal("not CREATE SEQUENCE"));
    };
    if *temporary {
        return Err(forms::temporary_sequence());
    }
    let mut options = SequenceOptions::from_ast(sequence_options)?;
    options.ty = data_type
        .as_ref()
        .map(crate::types::names::from_sql)
        .transpose()?;
    if let Some(owner) = owned_by {
        let parts: Vec<String> = owner
            .0
            .iter()
            .filter_map(|part| part.as_ident().map(crate::catalog::fold))
            .collect();
        let none = matches!(parts.as_slice(), [only] if only == "none");
        options.owned_by = Some((!none).then_some(parts));
    }
    let create = CreateSequence {
        name: QualifiedName::from_ast(name)?,
        if_not_exists: *if_not_exists,
        options,
    };
    sequence::create(context, &create).await
}
