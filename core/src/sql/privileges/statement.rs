//! Statements that write: INSERT, UPDATE and DELETE on their target, SELECT on what they read.

use datafusion::sql::sqlparser::ast::{
    self, Assignment, AssignmentTarget, ConflictTarget, CopySource, FromTable, MergeAction,
    MergeInsertKind, ObjectName, OnConflictAction, OnInsert, SelectItem, SetExpr, Statement,
    TableFactor, TableObject, UpdateTableFromKind,
};

use super::Walk;
use super::names::{Frame, Item};
use crate::catalog::{ConstraintKind, Need, Object, Privileges, fold};
use crate::sql::Locking;

impl Walk<'_> {
    /// Walks a statement; the names of the columns that it returns.
    pub(super) fn statement(&mut self, statement: &Statement, locking: &[Locking]) -> Vec<String> {
        let mut names = Vec::new();
        match statement {
            Statement::Query(query) => return self.query(query, locking),
            Statement::Insert(insert) => self.deeper(|walk| names = walk.insert(insert)),
            Statement::Update(update) => self.deeper(|walk| names = walk.update(update)),
            Statement::Delete(delete) => self.deeper(|walk| names = walk.delete(delete)),
            Statement::Merge(merge) => self.deeper(|walk| walk.merge(merge)),
            Statement::Copy { source, to, .. } => self.copy(source, *to),
            Statement::CreateTable(create) => {
                if let Some(query) = &create.query {
                    self.query(query, &[]);
                }
            }
            _ => {}
        }
        names
    }

    /// A target of a write, as the only item of a new frame.
    fn target(
        &mut self,
        name: &ObjectName,
        alias: Option<String>,
        privileges: Privileges,
    ) -> usize {
        let mut item = match self.qualified_name(name) {
            Some(name) => self.stored(&name, privileges),
            None => Item {
                name: String::new(),
                columns: Vec::new(),
                needs: Vec::new(),
                opaque: false,
            },
        };
        if let Some(alias) = alias {
            item.name = alias;
        }
        let need = item.needs.first().copied().unwrap_or(usize::MAX);
        self.frames.push(Frame { items: vec![item] });
        need
    }

    /// The number of a column of the innermost frame's first item.
    fn number(&self, name: &str) -> Option<u32> {
        let item = self.frames.last()?.items.first()?;
        item.columns
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, number)| *number)
    }

    fn change(&mut self, need: usize, change: impl FnOnce(&mut Need)) {
        if let Some(need) = self.needs.get_mut(need) {
            change(need);
        }
    }

    fn returning(&mut self, list: Option<&Vec<SelectItem>>) -> Vec<String> {
        let mut names = Vec::new();
        for item in list.into_iter().flatten() {
            self.select_item(item, &mut names);
        }
        names
    }

    fn insert(&mut self, insert: &ast::Insert) -> Vec<String> {
        let TableObject::TableName(name) = &insert.table else {
            self.within(insert);
            return Vec::new();
        };
        let frames = self.frames.len();
        let width = insert.source.as_ref().map(|source| {
            let names = self.query(source, &[]);
            match source.body.as_ref() {
                SetExpr::Values(_) => names.len(),
                _ => usize::MAX,
            }
        });
        let alias = insert.table_alias.as_ref().map(|alias| fold(&alias.alias));
        let need = self.target(name, alias, Privileges::INSERT);
        let mut columns: Vec<u32> = Vec::new();
        for column in &insert.columns {
            if let Some(column) = column.0.first().and_then(|part| part.as_ident()) {
                columns.extend(self.number(&fold(column)));
            }
        }
        if insert.columns.is_empty()
            && let Some(width) = width
            && let Some(item) = self.frames.last().and_then(|frame| frame.items.first())
        {
            columns.extend(item.columns.iter().take(width).map(|(_, number)| *number));
        }
        self.change(need, |need| need.inserted.numbers.extend(columns));
        if let Some(OnInsert::OnConflict(clause)) = &insert.on {
            self.on_conflict(clause, need);
        }
        let names = self.returning(insert.returning.as_ref());
        self.frames.truncate(frames);
        names
    }

    fn on_conflict(&mut self, clause: &ast::OnConflict, need: usize) {
        match &clause.conflict_target {
            Some(ConflictTarget::Columns(columns)) => {
                for column in columns {
                    self.plain(&fold(column));
                }
            }
            Some(ConflictTarget::OnConstraint(name)) => self.constraint_columns(name, need),
            None => {}
        }
        let OnConflictAction::DoUpdate(action) = &clause.action else {
            return;
        };
        // To read the proposed row's column is to read the table's.
        let columns = self
            .frames
            .last()
            .and_then(|frame| frame.items.first())
            .map(|item| item.columns.clone())
            .unwrap_or_default();
        let excluded = Item {
            name: "excluded".to_owned(),
            columns,
            needs: vec![need],
            opaque: false,
        };
        self.assignments(&action.assignments, need);
        if let Some(frame) = self.frames.last_mut() {
            frame.items.push(excluded);
        }
        for assignment in &action.assignments {
            self.within(&assignment.value);
        }
        if let Some(condition) = &action.selection {
            self.within(condition);
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.items.pop();
        }
    }

    fn constraint_columns(&mut self, name: &ObjectName, need: usize) {
        let Some(name) = name.0.last().and_then(|part| part.as_ident()).map(fold) else {
            return;
        };
        let Some(relation) = self.needs.get(need).map(|need| need.relation) else {
            return;
        };
        let Some(Object::Table(table)) = self.catalog.object(relation) else {
            return;
        };
        let index = table
            .constraints
            .iter()
            .find(|it| it.name == name)
            .and_then(|it| match it.kind {
                ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => {
                    Some(index)
                }
                _ => None,
            });
        if let Some(Object::Index(index)) = index.and_then(|oid| self.catalog.object(oid)) {
            let numbers = index
                .columns
                .iter()
                .filter_map(|at| u32::try_from(at.saturating_add(1)).ok());
            let numbers: Vec<u32> = numbers.collect();
            self.change(need, |need| {
                need.privileges = need.privileges.with(Privileges::SELECT);
                need.selected.numbers.extend(numbers);
            });
        }
    }

    /// The columns on the left of SET need UPDATE.
    fn assignments(&mut self, list: &[Assignment], need: usize) {
        let mut numbers = Vec::new();
        for assignment in list {
            let targets = match &assignment.target {
                AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
                AssignmentTarget::Tuple(names) => names.as_slice(),
            };
            for target in targets {
                if let Some(column) = target.0.last().and_then(|part| part.as_ident()) {
                    numbers.extend(self.number(&fold(column)));
                }
            }
        }
        self.change(need, |need| {
            need.privileges = need.privileges.with(Privileges::UPDATE);
            need.updated.numbers.extend(numbers);
        });
    }

    fn update(&mut self, update: &ast::Update) -> Vec<String> {
        let frames = self.frames.len();
        let TableFactor::Table { name, alias, .. } = &update.table.relation else {
            self.within(update);
            return Vec::new();
        };
        let alias = alias.as_ref().map(|alias| fold(&alias.name));
        let need = self.target(name, alias, Privileges::UPDATE);
        self.assignments(&update.assignments, need);
        if let Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) =
            &update.from
        {
            for table in from {
                self.table_with_joins(table);
            }
        }
        for assignment in &update.assignments {
            self.within(&assignment.value);
        }
        if let Some(condition) = &update.selection {
            self.within(condition);
        }
        let names = self.returning(update.returning.as_ref());
        self.frames.truncate(frames);
        names
    }

    fn delete(&mut self, delete: &ast::Delete) -> Vec<String> {
        let frames = self.frames.len();
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let Some(TableFactor::Table { name, alias, .. }) =
            tables.first().map(|table| &table.relation)
        else {
            self.within(delete);
            return Vec::new();
        };
        let alias = alias.as_ref().map(|alias| fold(&alias.name));
        self.target(name, alias, Privileges::DELETE);
        for table in delete.using.iter().flatten() {
            self.table_with_joins(table);
        }
        if let Some(condition) = &delete.selection {
            self.within(condition);
        }
        let names = self.returning(delete.returning.as_ref());
        self.frames.truncate(frames);
        names
    }

    fn merge(&mut self, merge: &ast::Merge) {
        let frames = self.frames.len();
        let TableFactor::Table { name, alias, .. } = &merge.table else {
            self.within(merge);
            return;
        };
        let alias = alias.as_ref().map(|alias| fold(&alias.name));
        let need = self.target(name, alias, Privileges::NONE);
        self.table_with_joins(&ast::TableWithJoins {
            relation: merge.source.clone(),
            joins: Vec::new(),
        });
        self.within(&*merge.on);
        for clause in &merge.clauses {
            if let Some(condition) = &clause.predicate {
                self.within(condition);
            }
            match &clause.action {
                MergeAction::Insert(insert) => {
                    let mut numbers = Vec::new();
                    for column in &insert.columns {
                        if let Some(column) = column.0.last().and_then(|part| part.as_ident()) {
                            numbers.extend(self.number(&fold(column)));
                        }
                    }
                    let all = insert.columns.is_empty();
                    self.change(need, |need| {
                        need.privileges = need.privileges.with(Privileges::INSERT);
                        need.inserted.numbers.extend(numbers);
                        need.inserted.all |= all;
                    });
                    if let MergeInsertKind::Values(values) = &insert.kind {
                        self.within(values);
                    }
                }
                MergeAction::Update(update) => {
                    self.assignments(&update.assignments, need);
                    for assignment in &update.assignments {
                        self.within(&assignment.value);
                    }
                }
                MergeAction::Delete { .. } => self.change(need, |need| {
                    need.privileges = need.privileges.with(Privileges::DELETE);
                }),
            }
        }
        self.frames.truncate(frames);
    }

    fn copy(&mut self, source: &CopySource, to: bool) {
        let (table_name, columns) = match source {
            CopySource::Query(query) => {
                self.query(query, &[]);
                return;
            }
            CopySource::Table {
                table_name,
                columns,
            } => (table_name, columns),
        };
        let frames = self.frames.len();
        let privilege = if to {
            Privileges::SELECT
        } else {
            Privileges::INSERT
        };
        let need = self.target(table_name, None, privilege);
        let numbers: Vec<u32> = match columns.is_empty() {
            true => self
                .frames
                .last()
                .and_then(|frame| frame.items.first())
                .map(|item| item.columns.iter().map(|(_, number)| *number).collect())
                .unwrap_or_default(),
            false => columns
                .iter()
                .filter_map(|column| self.number(&fold(column)))
                .collect(),
        };
        self.change(need, |need| {
            let columns = match to {
                true => &mut need.selected,
                false => &mut need.inserted,
            };
            columns.numbers.extend(numbers);
        });
        self.frames.truncate(frames);
    }
}
