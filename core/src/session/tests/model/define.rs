//! Changes of the catalog: by themselves, with rows, and taken back.

use super::Model;

/// What makes `c` reference `t`.
pub(super) const REFERENCE: &str = "ALTER TABLE c ADD CONSTRAINT of_t \
    FOREIGN KEY (r) REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE";

impl Model {
    fn ddl(&mut self, sql: &str) {
        self.sql(0, sql);
        self.counts.definitions += 1;
    }

    /// Changes that nobody may be in the middle of.
    pub(super) fn define(&mut self) {
        if self.actors.iter().any(|actor| actor.open.is_some()) {
            return;
        }
        // Like VACUUM, a seal keeps DDL away.
        if let Some(mut tending) = self.tending.take() {
            self.counts.seals += usize::from(self.world.now(tending.as_mut()).unwrap());
        }
        match self.random.within(0..12) {
            0 if !self.indexed => {
                self.ddl("CREATE INDEX by_n ON t (n)");
                self.indexed = true;
            }
            0 => {
                self.ddl("DROP INDEX by_n");
                self.indexed = false;
            }
            1 => self.add_column("'later'"),
            2 => self.add_column("'later' || (random() * 0)::int"),
            3 => self.truncate_and_take_back(),
            4 if self.random.within(0..8) == 0 => {
                self.ddl("TRUNCATE t, c");
                let keys: Vec<i64> = self.committed.rows.keys().copied().collect();
                let gone = self.committed.without(keys);
                self.counts.written += gone.len();
                self.commit(gone);
            }
            5 => {
                self.ddl("CREATE TABLE u AS SELECT * FROM t");
                let same = self.sql(0, "SELECT count(*) FROM u JOIN t USING (id, n, v)");
                self.is_count_of_rows(&same);
                self.ddl("DROP TABLE u");
            }
            6 => {
                let ty = if self.random.coin() {
                    "integer"
                } else {
                    "bigint"
                };
                self.ddl(&format!("ALTER TABLE t ALTER COLUMN n TYPE {ty}"));
            }
            7 => {
                let ty = if self.random.coin() {
                    "varchar"
                } else {
                    "text"
                };
                self.ddl(&format!("ALTER TABLE t ALTER COLUMN v TYPE {ty}"));
            }
            8 => {
                self.ddl("ALTER TABLE c DROP CONSTRAINT of_t");
                self.ddl(REFERENCE);
            }
            9 => self.reference_by_other_types(),
            10 => self.sql_of_vacuum("VACUUM FULL c"),
            _ => self.sql_of_vacuum("VACUUM FULL t"),
        }
    }

    fn sql_of_vacuum(&mut self, sql: &str) {
        self.sql(0, sql);
        self.counts.seals += 1;
    }

    #[track_caller]
    fn is_count_of_rows(&self, answer: &[Vec<Option<String>>]) {
        assert!(answer == [vec![Some(self.committed.rows.len().to_string())]]);
    }

    /// Adds a column and removes it; rows are written anew when the default may differ from row to row.
    fn add_column(&mut self, default: &str) {
        self.ddl(&format!(
            "ALTER TABLE t ADD COLUMN more text DEFAULT {default}"
        ));
        let more = self.sql(0, "SELECT count(*) FROM t WHERE more LIKE 'later%'");
        self.is_count_of_rows(&more);
        self.ddl("ALTER TABLE t DROP COLUMN more");
    }

    fn truncate_and_take_back(&mut self) {
        self.sql(0, "BEGIN");
        self.ddl("TRUNCATE t, c");
        self.sql(
            0,
            "INSERT INTO t SELECT i, 0, 'gone' || i FROM generate_series(1, 40) i",
        );
        self.ddl("ALTER TABLE t ADD COLUMN more int DEFAULT 7");
        self.ddl("CREATE INDEX by_more ON t (more)");
        self.sql(0, "UPDATE t SET n = more WHERE id > 20");
        let sum = self.sql(0, "SELECT sum(n), count(*) FROM t");
        assert_eq!(sum, [["140", "40"].map(|it| Some(it.to_owned()))]);
        self.sql(0, "ROLLBACK");
    }

    /// Both ends of the reference change, one after the other: keys stay what they are.
    fn reference_by_other_types(&mut self) {
        for ty in ["integer", "bigint"] {
            self.ddl(&format!("ALTER TABLE c ALTER COLUMN r TYPE {ty}"));
        }
        let none = self.sql(
            0,
            "SELECT count(*) FROM c WHERE r NOT IN (SELECT id FROM t)",
        );
        assert_eq!(none, [[Some("0".to_owned())]]);
    }

    /// Takes away what an interruption left of such changes.
    pub(super) fn define_again(&mut self) {
        self.ddl("DROP TABLE IF EXISTS u");
        self.ddl("ALTER TABLE t DROP COLUMN IF EXISTS more");
        self.ddl("DROP INDEX IF EXISTS by_n");
        self.indexed = false;
        self.ddl("ALTER TABLE c ALTER COLUMN r TYPE bigint");
        self.ddl("ALTER TABLE c DROP CONSTRAINT IF EXISTS of_t");
        self.ddl(REFERENCE);
    }
}
