//! Forms of ALTER that sqlparser cannot read: RENAME, SET SCHEMA and OWNER TO of views, sequences and
//! indexes, ALTER TABLE … SET SCHEMA, and the identity forms of ALTER COLUMN.

use std::sync::Arc;

use super::super::cursor::Cursor;
use super::super::{Context, Outcome};
use super::alter_idle::Idle;
use super::forms::name;
use super::scope::{find_role, not_a};
use super::sequence_options::SequenceOptions;
use super::{alter_column, alter_idle, rename};
use crate::catalog::{Identity, Object, QualifiedName, View, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;

/// `ALTER kind [IF EXISTS] name change`.
#[derive(Clone, Debug)]
pub struct AlterForm {
    /// `table`, `view`, `index` or `sequence`.
    pub kind: &'static str,
    pub name: QualifiedName,
    pub if_exists: bool,
    pub change: Change,
}

#[derive(Clone, Debug)]
pub enum Change {
    Rename(String),
    SetSchema(String),
    Owner(String),
    RenameColumn {
        old: String,
        new: String,
    },
    DropIdentity {
        column: String,
        if_exists: bool,
    },
    SetIdentity {
        column: String,
        identity: Option<Identity>,
        options: SequenceOptions,
    },
    Idle(Idle),
}

impl AlterForm {
    pub(super) fn tag(&self) -> &'static str {
        match self.kind {
            "view" => "ALTER VIEW",
            "index" => "ALTER INDEX",
            "sequence" => "ALTER SEQUENCE",
            _ => "ALTER TABLE",
        }
    }
}

/// What every kind of relation can do; `None` when something else follows.
pub(super) fn relation(
    cursor: &mut Cursor<'_>,
    kind: &'static str,
    of: &QualifiedName,
    if_exists: bool,
) -> Result<Option<AlterForm>> {
    let change = if cursor.keywords(&["RENAME", "TO"]) {
        Change::Rename(name(cursor)?)
    } else if cursor.keywords(&["SET", "SCHEMA"]) {
        Change::SetSchema(name(cursor)?)
    } else if cursor.keywords(&["OWNER", "TO"]) {
        Change::Owner(name(cursor)?)
    } else if kind == "view" && cursor.keyword("RENAME") {
        cursor.keyword("COLUMN");
        let old = name(cursor)?;
        cursor.expect_keyword("TO")?;
        Change::RenameColumn {
            old,
            new: name(cursor)?,
        }
    } else if let Some(idle) = alter_idle::parse(cursor, kind)? {
        Change::Idle(idle)
    } else {
        return Ok(None);
    };
    Ok(Some(AlterForm {
        kind,
        name: of.clone(),
        if_exists,
        change,
    }))
}

/// The forms of ALTER TABLE that sqlparser lacks.
pub(super) fn table(
    cursor: &mut Cursor<'_>,
    of: &QualifiedName,
    if_exists: bool,
) -> Result<Option<AlterForm>> {
    let form = |change| {
        Ok(Some(AlterForm {
            kind: "table",
            name: of.clone(),
            if_exists,
            change,
        }))
    };
    if cursor.keywords(&["SET", "SCHEMA"]) {
        return form(Change::SetSchema(name(cursor)?));
    }
    if let Some(idle) = alter_idle::parse(cursor, "table")? {
        return form(Change::Idle(idle));
    }
    if !cursor.keyword("ALTER") {
        return Ok(None);
    }
    cursor.keyword("COLUMN");
    let column = name(cursor)?;
    if cursor.keywords(&["DROP", "IDENTITY"]) {
        let if_exists = cursor.keywords(&["IF", "EXISTS"]);
        return form(Change::DropIdentity { column, if_exists });
    }
    let mut identity = None;
    let mut options = SequenceOptions::default();
    let mut found = false;
    loop {
        if cursor.keywords(&["SET", "GENERATED", "ALWAYS"]) {
            identity = Some(Identity::Always);
        } else if cursor.keywords(&["SET", "GENERATED", "BY", "DEFAULT"]) {
            identity = Some(Identity::ByDefault);
        } else if matches!(cursor.peek(), Some(token) if token.to_string().eq_ignore_ascii_case("RESTART"))
        {
            options = SequenceOptions::parse(cursor)?;
        } else {
            let mark = cursor.mark();
            let known = [
                "INCREMENT",
                "START",
                "MINVALUE",
                "MAXVALUE",
                "CACHE",
                "CYCLE",
                "NO",
            ];
            if cursor.keyword("SET") && known.iter().any(|word| cursor.keyword(word)) {
                cursor.back(mark);
                cursor.keyword("SET");
                options = SequenceOptions::parse(cursor)?;
            } else {
                cursor.back(mark);
                break;
            }
        }
        found = true;
    }
    if !found {
        return Ok(None);
    }
    form(Change::SetIdentity {
        column,
        identity,
        options,
    })
}

pub(super) async fn execute(context: &mut Context<'_>, form: &AlterForm) -> Result<Outcome> {
    let tag = Outcome::Command(form.tag().to_owned());
    let wait = context.wait();
    let found = context
        .lock_by_name(&form.name, RelationMode::AccessExclusive, wait)
        .await?;
    let Some(found) = found else {
        if form.if_exists {
            let message = format!("relation \"{}\" does not exist", form.name.name);
            context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(tag);
        }
        return Err(context.missing_relation(&form.name));
    };
    super::scope::check_user_object(found.schema().unwrap_or(0), found.name())?;
    // ALTER TABLE takes any relation for what all of them can do.
    if form.kind != "table" && found.kind() != form.kind {
        let article = if form.kind == "index" { "an" } else { "a" };
        return Err(not_a(&found, &format!("{article} {}", form.kind)));
    }
    match &form.change {
        Change::Rename(new) => rename::relation(context, &found, new).await?,
        Change::SetSchema(schema) => rename::set_schema(context, &found, schema).await?,
        Change::Owner(owner) => {
            let owner = match owner.as_str() {
                "current_user" | "current_role" => context.info.user.clone(),
                "session_user" => context.info.session_user.clone(),
                name => name.to_owned(),
            };
            let owner = find_role(context.catalog, &owner)?.oid;
            context.hold_role(owner).await?;
            rename::owner(context, &found, owner)?;
        }
        Change::RenameColumn { old, new } => {
            let view = view(&found)?;
            rename::view_column(context, &view, old, new)?;
        }
        Change::Idle(idle) => check_idle(context, &found, idle)?,
        Change::DropIdentity { column, if_exists } => {
            let (table, at) = column_of(&found, column)?;
            alter_column::drop_identity(context, &table, at, *if_exists).await?;
        }
        Change::SetIdentity {
            column,
            identity,
            options,
        } => {
            let (table, at) = column_of(&found, column)?;
            alter_column::set_identity(context, &table, at, *identity, options)?;
        }
    }
    Ok(tag)
}

/// What PostgreSQL would say to a form that has nothing to act on.
fn check_idle(context: &mut Context<'_>, object: &Object, idle: &Idle) -> Result<()> {
    match idle {
        Idle::Nothing => Ok(()),
        Idle::Column(column) => column_of(object, column).map(|_| ()),
        Idle::Missing { kind, name } => {
            let of = if *kind == "rule" { "relation" } else { "table" };
            Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "{kind} \"{name}\" for {of} \"{}\" does not exist",
                    object.name()
                ),
            ))
        }
        Idle::Expression { column, if_exists } => {
            column_of(object, column)?;
            let message = format!(
                "column \"{column}\" of relation \"{}\" is not a stored generated column",
                object.name()
            );
            if *if_exists {
                context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
                return Ok(());
            }
            Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                message,
            ))
        }
    }
}

fn view(object: &Object) -> Result<Arc<View>> {
    match object {
        Object::View(view) => Ok(view.clone()),
        other => Err(not_a(other, "a view")),
    }
}

fn column_of(object: &Object, column: &str) -> Result<(Arc<crate::catalog::Table>, usize)> {
    let Object::Table(table) = object else {
        return Err(not_a(object, "a table"));
    };
    let at = table
        .column(column)
        .ok_or_else(|| undefined_column(column, &table.name))?;
    Ok((table.clone(), at))
}
