// Runs the engine in Node: a table, a transaction, a query through DataFusion, an error.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { OmenDb } = createRequire(import.meta.url)(process.argv[2]);
const db = OmenDb.memory();
db.query("CREATE TABLE t (id int PRIMARY KEY, grp int NOT NULL, name text)");
db.query("BEGIN; INSERT INTO t SELECT i, i % 3, 'row ' || i FROM generate_series(1, 1000) AS g(i); COMMIT");
db.query("BEGIN; DELETE FROM t; ROLLBACK");
const [result] = db.query("SELECT grp, count(*), min(name) FROM t GROUP BY grp ORDER BY grp");
assert.deepEqual(result.columns, ["grp", "count", "min"]);
assert.deepEqual(result.rows, [
  ["0", "333", "row 102"],
  ["1", "334", "row 1"],
  ["2", "333", "row 101"],
]);
assert.throws(
  () => db.query("INSERT INTO t VALUES (1, 1, 'twice')"),
  (error) => error.code === "23505",
);
console.log("wasm smoke: passed");
