//! Who may do what, as system tables show it.

use super::super::rows::{Rows, Source, array, text, yes};
use super::roles;
use super::views::role_name;
use crate::catalog::{
    Acl, Kind, Object, PUBLIC, Privileges, Rights, column_numbers, kind_and_owner,
};
use crate::types::{Datum, PgType, oid};

/// A list as PostgreSQL writes one: `grantee=letters/grantor`, `*` behind what may be passed on.
pub(super) fn text_of(source: &Source, acl: &Acl) -> Datum<'static> {
    let name = |role: u32| match source.catalog.object(role) {
        Some(Object::Role(role)) => quoted(&role.name),
        _ => role.to_string(),
    };
    let items = acl
        .0
        .iter()
        .map(|grant| {
            let mut item = match grant.grantee {
                PUBLIC => String::new(),
                role => name(role),
            };
            item.push('=');
            for (privilege, _, letter) in grant.privileges.with(grant.options).each() {
                item.push(letter);
                if grant.options.contains(privilege) {
                    item.push('*');
                }
            }
            item.push('/');
            item.push_str(&name(grant.grantor));
            text(item)
        })
        .collect();
    array(PgType::new(oid::ACLITEM), items)
}

fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// The list that was stored for an object or a column; NULL when nobody granted anything.
pub(super) fn stored(source: &Source, oid: u32, sub: u32) -> Datum<'static> {
    match source.catalog.stored_acl(oid, sub) {
        Some(acl) => text_of(source, acl),
        None => Datum::Null,
    }
}

/// A schema's list; those that a new database has from the start count as stored.
pub(super) fn schema(source: &Source, object: &Object) -> Datum<'static> {
    let acl = source.catalog.acl(object);
    let owner = kind_and_owner(object).map_or(0, |(_, owner)| owner);
    let stored = source.catalog.stored_acl(object.oid(), 0).is_some();
    if !stored && acl == Acl::default_of(Kind::Schema, owner) {
        return Datum::Null;
    }
    text_of(source, &acl)
}

pub(super) fn members(source: &Source, rows: &mut Rows) {
    for ((role, member), membership) in source.catalog.members() {
        rows.push(vec![
            ("roleid", Datum::Oid(*role)),
            ("member", Datum::Oid(*member)),
            ("grantor", Datum::Oid(membership.grantor)),
            ("admin_option", Datum::Bool(membership.admin)),
        ]);
    }
}

/// `pg_group`: roles that cannot log in, with their members.
pub(super) fn groups(source: &Source, rows: &mut Rows) {
    for role in roles::each(source).filter(|role| !role.login) {
        let members = source
            .catalog
            .members()
            .keys()
            .filter(|(of, _)| *of == role.oid)
            .map(|(_, member)| Datum::Oid(*member))
            .collect();
        rows.push(vec![
            ("groname", text(role.name.clone())),
            ("grosysid", Datum::Oid(role.oid)),
            ("grolist", array(PgType::OID, members)),
        ]);
    }
}

pub(super) fn defaults(source: &Source, rows: &mut Rows) {
    for (at, ((role, schema, letter), acl)) in source.catalog.default_acls().enumerate() {
        // Nobody refers to these by their OID; it only has to differ from others.
        let oid = u32::try_from(at).unwrap_or(0) | 0xc000_0000;
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("defaclrole", Datum::Oid(role)),
            ("defaclnamespace", Datum::Oid(schema)),
            ("defaclobjtype", text(letter.to_string())),
            ("defaclacl", text_of(source, acl)),
        ]);
    }
}

/// What the current role may see of `information_schema`.
pub(super) struct Sight<'s> {
    source: &'s Source,
    rights: Rights,
}

impl<'s> Sight<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Sight {
            source,
            rights: source.catalog.rights(&source.info.user),
        }
    }

    /// Whether it is an owner.
    pub(super) fn owns(&self, object: &Object) -> bool {
        kind_and_owner(object).is_some_and(|(_, owner)| self.rights.owns(owner))
    }

    /// Whether it is an owner, or has any of these.
    pub(super) fn has(&self, object: &Object, any: Privileges) -> bool {
        let held = self.source.catalog.privileges(&self.rights, object, any);
        self.owns(object) || !held.is_empty()
    }

    /// As [`has`](Self::has), also when it has them on a column only.
    pub(super) fn has_any(&self, object: &Object) -> bool {
        let kind = kind_and_owner(object).map_or(Kind::Table, |(kind, _)| kind);
        let column = |number| self.has_on_column(object, number);
        self.has(object, Privileges::all(kind)) || column_numbers(object).any(column)
    }

    fn has_on_column(&self, object: &Object, number: u32) -> bool {
        let all = Privileges::all(Kind::Column);
        let catalog = &self.source.catalog;
        !catalog
            .column_privileges(&self.rights, object.oid(), number, all)
            .is_empty()
    }

    /// Whether it may do anything with a column.
    pub(super) fn column(&self, object: &Object, at: usize) -> bool {
        let number = u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX);
        self.has(object, Privileges::all(Kind::Column)) || self.has_on_column(object, number)
    }

    /// Whether it has the privileges of the role.
    pub(super) fn is(&self, role: u32) -> bool {
        self.rights.owns(role)
    }
}

fn grantee_name(source: &Source, role: u32) -> Datum<'static> {
    match role {
        PUBLIC => text("PUBLIC"),
        role => role_name(source, role),
    }
}

/// Each privilege of a list that the current role gave, got, or shares with everybody.
fn each_grant(
    source: &Source,
    sight: &Sight<'_>,
    acl: &Acl,
    owner: u32,
    public: bool,
    mut push: impl FnMut(Vec<(&'static str, Datum<'static>)>, &'static str),
) {
    for grant in &acl.0 {
        let everybody = grant.grantee == PUBLIC;
        let own = sight.is(grant.grantor) || (!everybody && sight.is(grant.grantee));
        if !(own || everybody && public) {
            continue;
        }
        let of_owner = !everybody && source.catalog.rights_of(grant.grantee).owns(owner);
        for (privilege, word, _) in grant.privileges.each() {
            let grantable = of_owner || grant.options.contains(privilege);
            push(
                vec![
                    ("grantor", role_name(source, grant.grantor)),
                    ("grantee", grantee_name(source, grant.grantee)),
                    ("privilege_type", text(word)),
                    ("is_grantable", yes(grantable)),
                ],
                word,
            );
        }
    }
}

fn place(
    source: &Source,
    object: &Object,
    names: [&'static str; 3],
) -> Vec<(&'static str, Datum<'static>)> {
    let schema = object.schema().unwrap_or(0);
    let [catalog, in_schema, name] = names;
    vec![
        (catalog, text(source.info.database.clone())),
        (in_schema, super::views::schema_name(source, schema)),
        (name, text(object.name())),
    ]
}

const TABLE: [&str; 3] = ["table_catalog", "table_schema", "table_name"];

/// `table_privileges`, and `role_table_grants` without what everybody has.
pub(super) fn table_privileges(source: &Source, rows: &mut Rows, public: bool) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        let Some((Kind::Table, owner)) = kind_and_owner(object) else {
            continue;
        };
        let acl = source.catalog.acl(object);
        each_grant(source, &sight, &acl, owner, public, |mut row, word| {
            row.extend(place(source, object, TABLE));
            row.push(("with_hierarchy", yes(word == "SELECT")));
            rows.push(row);
        });
    }
}

/// `column_privileges`: a table's are its columns', too.
pub(super) fn column_privileges(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        let Some((Kind::Table, owner)) = kind_and_owner(object) else {
            continue;
        };
        let mut of_table = source.catalog.acl(object);
        for grant in &mut of_table.0 {
            grant.privileges = grant.privileges.among(Privileges::all(Kind::Column));
        }
        for number in column_numbers(object) {
            let at = usize::try_from(number).unwrap_or(0).saturating_sub(1);
            let name = match object {
                Object::Table(table) => table.columns.get(at).map(|column| column.name.clone()),
                Object::View(view) => view.columns.get(at).map(|column| column.name.clone()),
                _ => None,
            };
            let mut acl = of_table.clone();
            for grant in source
                .catalog
                .stored_acl(object.oid(), number)
                .into_iter()
                .flat_map(|acl| &acl.0)
            {
                let same = acl
                    .0
                    .iter_mut()
                    .find(|it| it.grantee == grant.grantee && it.grantor == grant.grantor);
                match same {
                    Some(same) => {
                        same.privileges = same.privileges.with(grant.privileges);
                        same.options = same.options.with(grant.options);
                    }
                    None => acl.0.push(*grant),
                }
            }
            each_grant(source, &sight, &acl, owner, true, |mut row, _| {
                row.extend(place(source, object, TABLE));
                row.push(("column_name", text(name.clone().unwrap_or_default())));
                rows.push(row);
            });
        }
    }
}

/// `usage_privileges`: of sequences.
pub(super) fn usage_privileges(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        let Some((Kind::Sequence, owner)) = kind_and_owner(object) else {
            continue;
        };
        let mut acl = source.catalog.acl(object);
        for grant in &mut acl.0 {
            grant.privileges = grant.privileges.among(Privileges::USAGE);
        }
        each_grant(source, &sight, &acl, owner, true, |mut row, _| {
            row.extend(place(
                source,
                object,
                ["object_catalog", "object_schema", "object_name"],
            ));
            row.push(("object_type", text("SEQUENCE")));
            rows.push(row);
        });
    }
}

/// `applicable_roles`, and of them those that the member may pass on.
pub(super) fn applicable_roles(source: &Source, rows: &mut Rows, only_admin: bool) {
    let sight = Sight::new(source);
    for ((role, member), membership) in source.catalog.members() {
        if sight.is(*member) && (membership.admin || !only_admin) {
            rows.push(vec![
                ("grantee", role_name(source, *member)),
                ("role_name", role_name(source, *role)),
                ("is_grantable", yes(membership.admin)),
            ]);
        }
    }
}
