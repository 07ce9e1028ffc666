//! Statements about `c`, whose rows reference rows of `t`.

use super::{CLIENTS, Model, Writes};

impl Model {
    /// A key of the client's own that it sees in `t`.
    fn parent(&mut self, at: usize) -> Option<i64> {
        let key = self.key(at);
        let from = self.view(at).rows;
        let own = |key: &&i64| **key as usize % CLIENTS == at;
        let next = from.range(key..).map(|(key, _)| key).find(own);
        next.or_else(|| from.keys().find(own)).copied()
    }

    pub(super) fn touch_children(&mut self, at: usize) {
        match self.random.within(0..7) {
            0..=1 => self.put_child(at),
            2 => self.copy_children(at),
            3 => self.remove_child(at),
            4 => self.reference_nothing(at),
            5 => self.move_parent(at),
            _ => self.join(at),
        }
    }

    fn put_child(&mut self, at: usize) {
        let Some(parent) = self.parent(at) else {
            return;
        };
        let child = self.key(at);
        let sql = match self.view(at).children.contains_key(&child) {
            true => format!("UPDATE c SET r = {parent} WHERE id = {child}"),
            false => format!("INSERT INTO c VALUES ({child}, {parent})"),
        };
        self.sql(at, &sql);
        self.wrote(at, Writes::child(child, Some(parent)));
    }

    /// Many at once, by COPY.
    fn copy_children(&mut self, at: usize) {
        let Some(parent) = self.parent(at) else {
            return;
        };
        let there = self.view(at).children;
        let mut writes = Writes::default();
        for _ in 0..25 {
            let child = self.key(at);
            if !there.contains_key(&child) {
                writes.children.insert(child, Some(parent));
            }
        }
        let lines: String = writes
            .children
            .keys()
            .map(|child| format!("{child}\t{parent}\n"))
            .collect();
        self.counts.statements += 1;
        let client = &mut self.actors[at].client;
        let copied = self.world.copy(client, "COPY c FROM STDIN", &lines);
        copied.unwrap();
        self.wrote(at, writes);
    }

    fn remove_child(&mut self, at: usize) {
        let child = self.key(at);
        self.sql(at, &format!("DELETE FROM c WHERE id = {child}"));
        if self.view(at).children.contains_key(&child) {
            self.wrote(at, Writes::child(child, None));
        }
    }

    fn reference_nothing(&mut self, at: usize) {
        let (child, parent) = (self.key(at), self.key(at));
        let view = self.view(at);
        if view.rows.contains_key(&parent) || view.children.contains_key(&child) {
            return;
        }
        let sql = format!("INSERT INTO c VALUES ({child}, {parent})");
        self.fails(at, &sql, "23503");
    }

    /// Another key for a row: its children follow.
    fn move_parent(&mut self, at: usize) {
        let to = self.key(at);
        let Some(from) = self.parent(at) else {
            return;
        };
        let view = self.view(at);
        if view.rows.contains_key(&to) {
            return;
        }
        self.sql(at, &format!("UPDATE t SET id = {to} WHERE id = {from}"));
        let mut writes = Writes::row(from, None);
        writes.rows.insert(to, view.rows.get(&from).cloned());
        for (child, parent) in &view.children {
            if *parent == from {
                writes.children.insert(*child, Some(to));
            }
        }
        self.wrote(at, writes);
    }

    fn join(&mut self, at: usize) {
        let view = self.view(at);
        let joined = self.sql(at, "SELECT count(*), sum(t.n) FROM c JOIN t ON t.id = c.r");
        let count = view.children.len();
        let sum = view.children.values().map(|parent| view.rows[parent].0);
        let sum = (count > 0).then(|| sum.sum::<i64>().to_string());
        assert_eq!(joined, [[Some(count.to_string()), sum]]);
    }
}
