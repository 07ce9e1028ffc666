//! DDL that sqlparser cannot read, or cannot read in all of PostgreSQL's forms, from its tokens.

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::super::cursor::Cursor;
use super::super::{Context, Outcome};
use super::alter_forms::{self, AlterForm};
use super::grant_forms::{DefaultPrivileges, Grant};
use super::index::{self, Reindex};
use super::maintenance::{self, Maintenance};
use super::maintenance_forms::{reindex, targets};
use super::membership::{self, Members};
use super::owned::{self, Owned};
use super::role::{self, AlterRole, CreateRole, RoleChange};
use super::role_options::{RoleOptions, names};
use super::sequence::{self, AlterSequence, CreateSequence};
use super::sequence_options::{SequenceOptions, dotted};
use super::{comment, default_privileges, grant, grant_forms, refused};
use crate::catalog::{QualifiedName, truncate};
use crate::error::{Error, Result, SqlState};

/// A statement read from its tokens.
#[derive(Clone, Debug)]
pub enum Form {
    CreateSequence(CreateSequence),
    AlterSequence(AlterSequence),
    CreateRole(CreateRole),
    AlterRole(AlterRole),
    Grant(Grant),
    Members(Members),
    DefaultPrivileges(DefaultPrivileges),
    Owned(Owned),
    Alter(AlterForm),
    Reindex(Reindex),
    Maintain(Maintenance),
    CommentOnConstraint {
        name: String,
        table: QualifiedName,
        text: Option<String>,
    },
    /// `CREATE TABLE t [(columns)] AS query [WITH [NO] DATA]`; the columns are not in the statement.
    CreateTableAs {
        statement: Box<Statement>,
        columns: Vec<String>,
        with_data: bool,
    },
    /// DROP INDEX CONCURRENTLY; the word is not in the statement.
    DropConcurrently(Box<Statement>),
    /// What there is not.
    Refused {
        what: String,
        hint: String,
    },
}

impl Form {
    /// What messages call the statement; `None` for those that change nothing.
    pub(super) fn verb(&self) -> Option<&str> {
        Some(match self {
            Form::CreateSequence(_) => "CREATE SEQUENCE",
            Form::AlterSequence(_) => "ALTER SEQUENCE",
            Form::CreateRole(_) => "CREATE ROLE",
            Form::AlterRole(_) => "ALTER ROLE",
            Form::Grant(it) if it.revoke => "REVOKE",
            Form::Grant(_) => "GRANT",
            Form::Members(it) if it.revoke => "REVOKE ROLE",
            Form::Members(_) => "GRANT ROLE",
            Form::DefaultPrivileges(_) => "ALTER DEFAULT PRIVILEGES",
            Form::Owned(it) => it.tag(),
            Form::Alter(alter) => alter.tag(),
            Form::Reindex(_) => "REINDEX",
            Form::Maintain(Maintenance::Vacuum { .. }) => "VACUUM",
            Form::CommentOnConstraint { .. } => "COMMENT",
            Form::CreateTableAs { .. } => "CREATE TABLE AS",
            Form::DropConcurrently(_) => "DROP INDEX",
            Form::Maintain(_) | Form::Refused { .. } => return None,
        })
    }
}

/// Reads a statement that is one of these forms; `None`, with the cursor where it was, for all
/// others.
///
/// # Errors
/// 42601 where a form begins but does not go on as it should.
pub fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Form>> {
    let mark = cursor.mark();
    let form = if let Some(form) = grant_forms::parse(cursor)? {
        Some(form)
    } else if cursor.keyword("CREATE") {
        create(cursor)?
    } else if cursor.keyword("ALTER") {
        alter(cursor)?
    } else if cursor.keyword("REINDEX") {
        Some(Form::Reindex(reindex(cursor)?))
    } else if cursor.keyword("CHECKPOINT") {
        Some(Form::Maintain(Maintenance::Checkpoint))
    } else if cursor.keyword("VACUUM") {
        let (full, targets) = targets(cursor)?;
        Some(Form::Maintain(Maintenance::Vacuum { full, targets }))
    } else if cursor.keyword("ANALYZE") || cursor.keyword("ANALYSE") {
        Some(Form::Maintain(Maintenance::Analyze(targets(cursor)?.1)))
    } else if cursor.keyword("CLUSTER") {
        cursor.keyword("VERBOSE");
        let name = if cursor.is_end() {
            None
        } else {
            Some(qualified(cursor)?)
        };
        if cursor.keyword("USING") {
            cursor.identifier()?;
        }
        Some(Form::Maintain(Maintenance::Cluster(name)))
    } else if cursor.keywords(&["DROP", "INDEX", "CONCURRENTLY"]) {
        Some(drop_concurrently(cursor)?)
    } else if cursor.keywords(&["COMMENT", "ON", "CONSTRAINT"]) {
        let name = name(cursor)?;
        cursor.expect_keyword("ON")?;
        let table = qualified(cursor)?;
        cursor.expect_keyword("IS")?;
        let text = if cursor.keyword("NULL") {
            None
        } else {
            Some(cursor.string().ok_or_else(|| cursor.unexpected())?)
        };
        Some(Form::CommentOnConstraint { name, table, text })
    } else {
        None
    };
    let form = match form {
        Some(form) => Some(form),
        None => {
            cursor.back(mark);
            refused::parse(cursor)
        }
    };
    match form {
        Some(form) => {
            if !matches!(form, Form::Refused { .. }) {
                cursor.end()?;
            }
            Ok(Some(form))
        }
        None => {
            cursor.back(mark);
            Ok(None)
        }
    }
}

/// Runs a form.
pub(super) async fn execute(context: &mut Context<'_>, form: &Form) -> Result<Outcome> {
    match form {
        Form::CreateSequence(it) => sequence::create(context, it).await,
        Form::AlterSequence(it) => sequence::alter(context, it).await,
        Form::CreateRole(it) => role::create(context, it).await,
        Form::AlterRole(it) => role::alter(context, it).await,
        Form::Grant(it) => grant::execute(context, it).await,
        Form::Members(it) => membership::execute(context, it).await,
        Form::DefaultPrivileges(it) => default_privileges::execute(context, it).await,
        Form::Owned(it) => owned::execute(context, it).await,
        Form::Alter(it) => alter_forms::execute(context, it).await,
        Form::Reindex(it) => index::reindex(context, it).await,
        Form::Maintain(it) => maintenance::run(context, it).await,
        Form::CommentOnConstraint { name, table, text } => {
            comment::on_constraint(context, name, table, text.as_deref()).await
        }
        Form::CreateTableAs {
            statement,
            columns,
            with_data,
        } => {
            let Statement::CreateTable(create) = statement.as_ref() else {
                return Err(Error::internal("not CREATE TABLE AS"));
            };
            super::table::create_from(context, create, columns, *with_data).await
        }
        Form::DropConcurrently(statement) => {
            if context.in_block {
                return Err(Error::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "DROP INDEX CONCURRENTLY cannot run inside a transaction block",
                ));
            }
            super::drop::drop(context, statement).await
        }
        Form::Refused { what, hint } => Err(Error::unsupported(what, hint)),
    }
}

pub(super) fn temporary_sequence() -> Error {
    Error::unsupported(
        "a temporary sequence",
        "Create a plain sequence and drop it when you are done.",
    )
}

fn create(cursor: &mut Cursor<'_>) -> Result<Option<Form>> {
    let mark = cursor.mark();
    let temporary = cursor.keyword("TEMP") || cursor.keyword("TEMPORARY");
    if cursor.keyword("SEQUENCE") {
        if temporary {
            let error = temporary_sequence();
            return Ok(Some(Form::Refused {
                what: "a temporary sequence".to_owned(),
                hint: error.fields().hint.clone().unwrap_or_default(),
            }));
        }
        let if_not_exists = cursor.keywords(&["IF", "NOT", "EXISTS"]);
        let name = qualified(cursor)?;
        let options = SequenceOptions::parse(cursor)?;
        return Ok(Some(Form::CreateSequence(CreateSequence {
            name,
            if_not_exists,
            options,
        })));
    }
    cursor.back(mark);
    for (keyword, user) in [("ROLE", false), ("USER", true), ("GROUP", false)] {
        if cursor.keyword(keyword) {
            if cursor.keyword("MAPPING") {
                return Ok(None);
            }
            let name = name(cursor)?;
            let options = RoleOptions::parse(cursor, true)?;
            return Ok(Some(Form::CreateRole(CreateRole {
                name,
                user,
                options,
            })));
        }
    }
    if cursor.keyword("TABLE") {
        return create_table_as(cursor, mark);
    }
    Ok(None)
}

/// CREATE TABLE … AS with a list of columns or with WITH [NO] DATA: both are taken out, the rest is
/// sqlparser's.
fn create_table_as(cursor: &mut Cursor<'_>, mark: usize) -> Result<Option<Form>> {
    // The list and where it stands among the tokens after CREATE.
    cursor.keywords(&["IF", "NOT", "EXISTS"]);
    qualified(cursor)?;
    let before = cursor.mark();
    refuse_exclusion(cursor)?;
    cursor.back(before);
    let columns = column_list(cursor);
    let after = cursor.mark();
    if !cursor.keyword("AS") {
        // Names without types can only be those of CREATE TABLE … AS.
        if !columns.is_empty() && cursor.is_end() {
            return Err(cursor.unexpected());
        }
        return Ok(None);
    }
    cursor.back(mark);
    let mut tokens = cursor.rest();
    tokens.drain(before.saturating_sub(mark)..after.saturating_sub(mark));
    let word = |back: usize, wanted: &str| {
        let at = tokens.len().checked_sub(back);
        matches!(at.and_then(|at| tokens.get(at)).map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    };
    let (cut, with_data) = match () {
        () if word(1, "DATA") && word(2, "WITH") => (2, true),
        () if word(1, "DATA") && word(2, "NO") && word(3, "WITH") => (3, false),
        () if columns.is_empty() => return Ok(None),
        () => (0, true),
    };
    tokens.truncate(tokens.len().saturating_sub(cut));
    tokens.insert(0, TokenWithSpan::wrap(Token::make_keyword("CREATE")));
    let dialect = SqlDialect;
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let statement = parser
        .parse_statement()
        .map_err(|error| Error::new(SqlState::SYNTAX_ERROR, error.to_string()))?;
    let is_end = parser.peek_token().token == Token::EOF;
    match &statement {
        Statement::CreateTable(create) if create.query.is_some() && is_end => {
            Ok(Some(Form::CreateTableAs {
                statement: Box::new(statement),
                columns,
                with_data,
            }))
        }
        _ => Ok(None),
    }
}

/// Exclusion constraints, which sqlparser does not know, are refused by name.
fn refuse_exclusion(cursor: &mut Cursor<'_>) -> Result<()> {
    let mut depth = 0_i64;
    let mut begins = false;
    while let Some(token) = cursor.peek() {
        if begins && depth == 1 {
            let mark = cursor.mark();
            if cursor.keyword("CONSTRAINT") {
                cursor.identifier()?;
            }
            // A column may have this name, but then a type follows.
            let exclude = cursor.keyword("EXCLUDE");
            if exclude && (cursor.keyword("USING") || cursor.token(&Token::LParen)) {
                return Err(Error::unsupported(
                    "an EXCLUDE constraint",
                    "Use UNIQUE, or check for overlaps in a SERIALIZABLE transaction.",
                ));
            }
            cursor.back(mark);
        }
        begins = matches!(token, Token::LParen | Token::Comma);
        depth = match token {
            Token::LParen => depth.saturating_add(1),
            Token::RParen => depth.saturating_sub(1),
            _ => depth,
        };
        cursor.skip();
    }
    Ok(())
}

fn drop_concurrently(cursor: &mut Cursor<'_>) -> Result<Form> {
    let mut tokens = vec![
        TokenWithSpan::wrap(Token::make_keyword("DROP")),
        TokenWithSpan::wrap(Token::make_keyword("INDEX")),
    ];
    tokens.extend(cursor.rest());
    let mut parser = Parser::new(&SqlDialect).with_tokens_with_locations(tokens);
    let statement = parser
        .parse_statement()
        .map_err(|error| Error::new(SqlState::SYNTAX_ERROR, error.to_string()))?;
    Ok(Form::DropConcurrently(Box::new(statement)))
}

/// `(a, b)`, plain names only; nothing is taken when it is something else.
fn column_list(cursor: &mut Cursor<'_>) -> Vec<String> {
    let mark = cursor.mark();
    let mut columns = Vec::new();
    if cursor.token(&Token::LParen) {
        while let Ok(column) = name(cursor) {
            columns.push(column);
            if cursor.token(&Token::RParen) {
                return columns;
            }
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
    }
    cursor.back(mark);
    Vec::new()
}

fn alter(cursor: &mut Cursor<'_>) -> Result<Option<Form>> {
    if cursor.keyword("SEQUENCE") {
        let if_exists = cursor.keywords(&["IF", "EXISTS"]);
        let name = qualified(cursor)?;
        if let Some(form) = alter_forms::relation(cursor, "sequence", &name, if_exists)? {
            return Ok(Some(Form::Alter(form)));
        }
        let options = SequenceOptions::parse(cursor)?;
        if options == SequenceOptions::default() {
            return Err(cursor.unexpected());
        }
        return Ok(Some(Form::AlterSequence(AlterSequence {
            name,
            if_exists,
            options,
        })));
    }
    for keyword in ["ROLE", "USER", "GROUP"] {
        if cursor.keyword(keyword) {
            if cursor.keyword("MAPPING") {
                return Ok(None);
            }
            return alter_role(cursor).map(Some);
        }
    }
    for (keyword, kind) in [("VIEW", "view"), ("INDEX", "index"), ("TABLE", "table")] {
        if cursor.keyword(keyword) {
            if kind == "table" && cursor.keywords(&["ALL", "IN", "TABLESPACE"]) {
                return Err(Error::unsupported(
                    "a tablespace",
                    "All data lies in the one data directory.",
                ));
            }
            let if_exists = cursor.keywords(&["IF", "EXISTS"]);
            cursor.keyword("ONLY");
            let name = qualified(cursor)?;
            let form = if kind == "table" {
                alter_forms::table(cursor, &name, if_exists)?
            } else {
                alter_forms::relation(cursor, kind, &name, if_exists)?
            };
            return Ok(form.map(Form::Alter));
        }
    }
    Ok(None)
}

fn alter_role(cursor: &mut Cursor<'_>) -> Result<Form> {
    let name = name(cursor)?;
    if cursor.keywords(&["RENAME", "TO"]) {
        let new = self::name(cursor)?;
        return Ok(Form::AlterRole(AlterRole {
            name,
            change: RoleChange::Rename(new),
        }));
    }
    let setting = ["SET", "RESET", "IN"]
        .iter()
        .any(|word| cursor.keyword(word));
    if setting {
        cursor.rest();
        return Ok(Form::Refused {
            what: "a setting of a role (ALTER ROLE … SET)".to_owned(),
            hint: "Let the client send the setting when it connects.".to_owned(),
        });
    }
    let drops = cursor.keywords(&["DROP", "USER"]);
    if drops || cursor.keywords(&["ADD", "USER"]) {
        return Ok(Form::Members(Members {
            revoke: drops,
            roles: vec![name],
            members: names(cursor)?,
            admin: false,
            granted_by: None,
        }));
    }
    let options = RoleOptions::parse(cursor, false)?;
    Ok(Form::AlterRole(AlterRole {
        name,
        change: RoleChange::Options(options),
    }))
}

/// A name without a schema.
pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<String> {
    Ok(truncate(cursor.identifier()?))
}

/// A name with an optional schema.
pub(super) fn qualified(cursor: &mut Cursor<'_>) -> Result<QualifiedName> {
    let parts: Vec<String> = dotted(cursor)?.into_iter().map(truncate).collect();
    match parts.as_slice() {
        [name] => Ok(QualifiedName::new(None, name)),
        [schema, name] => Ok(QualifiedName::new(Some(schema), name)),
        parts => Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!(
                "cross-database references are not implemented: \"{}\"",
                parts.join(".")
            ),
        )),
    }
}
