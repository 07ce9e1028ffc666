// Runs the engine in Node: everything that a page needs of it, on the memory backend.
//
//   node tests/wasm/smoke.mjs PACKAGE/omendb_wasm.js     (host-wasm/smoke builds the package)
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";

const LOAD_LIMIT_MS = 20_000;
const BUNDLE_LIMIT_BYTES = 200 << 20;

const path = process.argv[2];
const bundle = statSync(join(dirname(path), "omendb_wasm_bg.wasm")).size;
const started = performance.now();
const { OmenDb } = createRequire(import.meta.url)(path);
const db = OmenDb.memory();
const loaded = performance.now() - started;

const checks = [];
const check = (name, run) => checks.push([name, run]);
const one = (sql) => db.query(sql).at(-1).rows[0]?.[0];

check("the bundle is small enough to load", () => {
  assert.ok(bundle < BUNDLE_LIMIT_BYTES, `${bundle} bytes`);
  assert.ok(loaded < LOAD_LIMIT_MS, `${loaded} ms`);
});

check("a table, a transaction, and a query through DataFusion", () => {
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
  assert.equal(result.tag, "SELECT 3");
});

check("several statements give a result each", () => {
  const results = db.query("CREATE TABLE many (id int); INSERT INTO many VALUES (1), (NULL) RETURNING id; SELECT 2 AS two; DROP TABLE many");
  assert.deepEqual(results.map((result) => result.tag), ["CREATE TABLE", "INSERT 0 2", "SELECT 1", "DROP TABLE"]);
  assert.deepEqual(results[1].rows, [["1"], [null]]);
  assert.deepEqual(results[2], { columns: ["two"], rows: [["2"]], tag: "SELECT 1" });
});

check("errors carry their fields, and roll back what was done beside them", () => {
  const again = { code: "23505", detail: "Key (id)=(1) already exists.", schema: "public", table: "t", constraint: "t_pkey" };
  assert.throws(() => db.query("INSERT INTO t VALUES (5000, 1, 'new'), (1, 1, 'twice')"), again);
  assert.equal(one("SELECT count(*) FROM t"), "1000");
  assert.throws(() => db.query("SELECT nope FROM t"), { code: "42703", message: 'column "nope" does not exist', position: 8 });
  assert.throws(() => db.query("INSERT INTO t VALUES (5000, NULL, 'x')"), { code: "23502", column: "grp" });
  assert.throws(() => db.query("COPY t FROM STDIN"), { code: "57014" });
  assert.throws(() => db.query("SELEC 1"), (error) => error instanceof Error && error.code === "42601");
  assert.equal(one("SELECT 1"), "1");
});

check("a savepoint inside a transaction", () => {
  db.query("BEGIN; INSERT INTO t VALUES (2000, 0, 'kept'); SAVEPOINT s; INSERT INTO t VALUES (2001, 0, 'lost')");
  assert.throws(() => db.query("INSERT INTO t VALUES (2000, 0, 'twice')"), { code: "23505" });
  assert.throws(() => db.query("SELECT 1"), { code: "25P02" });
  db.query("ROLLBACK TO s; COMMIT");
  assert.deepEqual(db.query("DELETE FROM t WHERE id >= 2000 RETURNING name")[0].rows, [["kept"]]);
});

check("prepared statements with parameters of every JavaScript type", () => {
  db.query("CREATE TABLE p (i int PRIMARY KEY, b bigint, f float8, t text, o boolean, y bytea, w timestamptz)");
  db.prepare("add", "INSERT INTO p VALUES ($1, $2, $3, $4, $5, $6, $7)");
  const when = new Date(Date.UTC(2024, 1, 29, 12, 34, 56, 789));
  db.execute("add", [1, 2n ** 62n, 0.25, "quote ' and 日本 🙂", true, new Uint8Array([0, 255]), when]);
  db.execute("add", [2, null, undefined, null, false, null, null]);
  db.prepare("get", "SELECT * FROM p WHERE i = $1");
  assert.deepEqual(db.execute("get", [1]), {
    columns: ["i", "b", "f", "t", "o", "y", "w"],
    rows: [["1", "4611686018427387904", "0.25", "quote ' and 日本 🙂", "t", "\\x00ff", "2024-02-29 12:34:56.789+00"]],
    tag: "SELECT 1",
  });
  assert.deepEqual(db.execute("get", [2]).rows, [["2", null, null, null, "f", null, null]]);
  assert.equal(db.execute("get", [3]).tag, "SELECT 0");
  assert.throws(() => db.execute("get", ["x"]), { code: "22P02" });
  assert.throws(() => db.execute("get", []), { code: "08P01" });
  assert.throws(() => db.execute("get", [{}]), TypeError);
  assert.throws(() => db.execute("never", []), { code: "26000" });
  for (let i = 0; i < 500; i++) db.execute("add", [10 + i, i, null, null, null, null, null]);
  assert.equal(one("SELECT sum(b) FROM p WHERE i >= 10"), "124750");
});

check("the clock goes on and follows the platform's", () => {
  const apart = Math.abs(Number(one("SELECT extract(epoch FROM clock_timestamp()) * 1000")) - Date.now());
  assert.ok(apart < 5000, `${apart} ms apart`);
  const before = Date.now();
  db.query("SELECT pg_sleep(0.2)");
  const slept = Date.now() - before;
  assert.ok(slept >= 200 && slept < 5000, `${slept} ms`);
});

check("a time-out stops a statement", () => {
  db.query("SET statement_timeout = 200");
  assert.throws(() => db.query("SELECT pg_sleep(60)"), { code: "57014" });
  const endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r";
  assert.throws(() => db.query(endless), { code: "57014" });
  db.query("RESET statement_timeout");
});

check("random numbers and uuids differ", () => {
  const uuids = db.query("SELECT gen_random_uuid() FROM generate_series(1, 1000)")[0].rows.map(([uuid]) => uuid);
  assert.equal(new Set(uuids).size, 1000);
  assert.match(uuids[0], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const other = OmenDb.memory();
  assert.notEqual(other.query("SELECT random()")[0].rows[0][0], one("SELECT random()"));
});

check("two databases know nothing of each other", () => {
  const other = OmenDb.memory();
  assert.throws(() => other.query("SELECT * FROM t"), { code: "42P01" });
  other.free();
  assert.equal(one("SELECT count(*) FROM t"), "1000");
});

check("time zones", () => {
  assert.equal(one("SELECT ('2024-07-01 12:00+00'::timestamptz AT TIME ZONE 'America/New_York')::text"), "2024-07-01 08:00:00");
});

check("a group-by over 100,000 rows", () => {
  db.query("CREATE TABLE big (id int PRIMARY KEY, customer int NOT NULL, amount numeric(10,2) NOT NULL)");
  db.query("INSERT INTO big SELECT i, i % 100, (i % 1000) / 4.0 FROM generate_series(1, 100000) AS g(i)");
  const sql = "SELECT customer, count(*), sum(amount) FROM big GROUP BY customer ORDER BY customer";
  const start = performance.now();
  const { rows } = db.query(sql)[0];
  console.log(`    100,000 rows in 100 groups: ${(performance.now() - start).toFixed(0)} ms`);
  assert.equal(rows.length, 100);
  assert.deepEqual(rows[0], ["0", "1000", "112500.00"]);
  assert.deepEqual(rows[7], ["7", "1000", "114250.00"]);
  assert.equal(one("SELECT count(DISTINCT amount) FROM big WHERE id BETWEEN 500 AND 2499"), "1000");
});

console.log(`    ${(bundle / (1 << 20)).toFixed(1)} MiB, loaded and opened in ${loaded.toFixed(0)} ms`);
let failed = 0;
for (const [name, run] of checks) {
  try {
    run();
  } catch (error) {
    failed += 1;
    console.log(`    FAILED: ${name}\n        ${String(error.stack ?? error).split("\n").slice(0, 12).join("\n        ")}`);
    // After a trap the instance means nothing any more.
    if (error instanceof WebAssembly.RuntimeError) break;
  }
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
