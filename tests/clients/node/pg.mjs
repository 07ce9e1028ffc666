// node-postgres against the server in PGHOST, PGPORT.

import assert from 'node:assert/strict'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import pg from 'pg'
import Cursor from 'pg-cursor'
import copy from 'pg-copy-streams'

const checks = []
const check = (name, run) => checks.push([name, run])
const connect = async (more = {}) => {
  const client = new pg.Client({ connectionTimeoutMillis: 20000, ...more })
  await client.connect()
  return client
}
const fresh = (c, name, columns) => c.query(`DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (${columns})`)

const types = {
  int2: ['-32768', '32767'], int4: ['-2147483648', '2147483647'], int8: ['-9223372036854775808', '9223372036854775807'],
  float4: ['1.5', 'NaN'], float8: ['0.1', '-Infinity', '1e+300'], numeric: ['12345678901234567890.5', '0.10'], 'numeric(6,2)': ['1.50'],
  text: ['', 'é 日本 🙂'], 'varchar(5)': ['abc'], 'char(3)': ['a  '], bool: ['true', 'false'], date: ['2024-02-29'], time: ['12:34:56.789'],
  timestamp: ['2024-02-29 12:34:56'], timestamptz: ['2024-02-29 12:34:56+00'], uuid: ['00000000-0000-0000-0000-000000000001'],
  bytea: ['\\x00ff'], json: ['{"a": 1}'], jsonb: ['{"a": 1}'],
}
for (const [type, values] of Object.entries(types)) {
  for (const binary of [false, true]) {
    check(`${type} in ${binary ? 'binary' : 'text'}`, async (c) => {
      await fresh(c, 'nodepg_types', `id int PRIMARY KEY, v ${type}`)
      for (const [i, v] of values.entries()) await c.query('INSERT INTO nodepg_types VALUES ($1, $2)', [i, v])
      await c.query('INSERT INTO nodepg_types VALUES ($1, $2)', [99, null])
      const { rows } = await c.query({ text: 'SELECT v::text AS t, v FROM nodepg_types ORDER BY id', binary })
      assert.deepEqual(rows.map((r) => r.t?.trimEnd() ?? null), [...values.map((v) => v.trimEnd()), null])
      assert.equal(rows.at(-1).v, null)
      if (type === 'int4') assert.deepEqual(rows.slice(0, -1).map((r) => r.v), values.map(Number))
      if (type === 'bytea') assert.deepEqual(rows[0].v, Buffer.from([0, 255]))
      if (type === 'bool') assert.deepEqual(rows.slice(0, 2).map((r) => r.v), [true, false])
      if (type.startsWith('json') && !binary) assert.deepEqual(rows[0].v, { a: 1 })
      if (type === 'timestamptz') assert.equal(rows[0].v.toISOString(), '2024-02-29T12:34:56.000Z')
    })
  }
}

check('parameters of JavaScript types', async (c) => {
  const { rows } = await c.query('SELECT $1::int AS i, $2::text AS t, $3::bool AS b, $4::jsonb AS j, $5::int[] AS a, $6::timestamptz AS d, $7::bytea AS y', [
    1, 'x', true, { k: [1] }, [1, 2], new Date('2024-01-01T00:00:00Z'), Buffer.from('hi')])
  assert.deepEqual(rows[0], { i: 1, t: 'x', b: true, j: { k: [1] }, a: [1, 2], d: new Date('2024-01-01T00:00:00Z'), y: Buffer.from('hi') })
})

check('results: fields, rowCount, command', async (c) => {
  await fresh(c, 'nodepg_r', 'id serial PRIMARY KEY, v varchar(8)')
  const inserted = await c.query('INSERT INTO nodepg_r (v) VALUES ($1), ($2) RETURNING *', ['a', 'b'])
  assert.deepEqual([inserted.command, inserted.rowCount, inserted.rows.map((r) => r.id)], ['INSERT', 2, [1, 2]])
  assert.deepEqual(inserted.fields.map((f) => [f.name, f.dataTypeID]), [['id', 23], ['v', 1043]])
  const updated = await c.query("UPDATE nodepg_r SET v = 'z'")
  assert.deepEqual([updated.command, updated.rowCount], ['UPDATE', 2])
  const many = await c.query('SELECT 1 AS a; SELECT 2 AS b')
  assert.deepEqual(many.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }])
  const arrays = await c.query({ text: 'SELECT 1, 2', rowMode: 'array' })
  assert.deepEqual(arrays.rows, [[1, 2]])
  assert.equal((await c.query('')).rowCount, null)
})

check('named prepared statements', async (c) => {
  for (let i = 0; i < 50; i++) {
    const { rows } = await c.query({ name: 'twice', text: 'SELECT $1::int * 2 AS n', values: [i] })
    assert.equal(rows[0].n, i * 2)
  }
})

check('a hundred queued queries', async (c) => {
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => c.query('SELECT $1::int AS n', [i])))
  assert.deepEqual(all.map((r) => r.rows[0].n), Array.from({ length: 100 }, (_, i) => i))
})

check('transactions', async (c) => {
  await fresh(c, 'nodepg_t', 'id int PRIMARY KEY')
  await c.query('BEGIN')
  await c.query('INSERT INTO nodepg_t VALUES (1)')
  await c.query('SAVEPOINT s')
  await assert.rejects(c.query('INSERT INTO nodepg_t VALUES (1)'), { code: '23505' })
  await assert.rejects(c.query('SELECT 1'), { code: '25P02' })
  await c.query('ROLLBACK TO s')
  await c.query('COMMIT')
  assert.equal((await c.query('SELECT count(*)::int AS n FROM nodepg_t')).rows[0].n, 1)
})

check('errors carry their fields', async (c) => {
  await fresh(c, 'nodepg_e', 'id int PRIMARY KEY, n int NOT NULL')
  await c.query('INSERT INTO nodepg_e VALUES (1, 1)')
  await assert.rejects(c.query('INSERT INTO nodepg_e VALUES ($1, 1)', [1]), {
    code: '23505', constraint: 'nodepg_e_pkey', table: 'nodepg_e', schema: 'public', detail: 'Key (id)=(1) already exists.', severity: 'ERROR' })
  await assert.rejects(c.query('INSERT INTO nodepg_e VALUES (2, NULL)'), { code: '23502', column: 'n' })
  await assert.rejects(c.query('SELECT nope'), { code: '42703', position: '8' })
  await assert.rejects(c.query('SELEC'), { code: '42601' })
  await assert.rejects(c.query('SELECT $1::int', ['x']), { code: '22P02' })
  assert.equal((await c.query('SELECT 1 AS one')).rows[0].one, 1)
})

check('cursors: portals with row limits', async (c) => {
  const cursor = c.query(new Cursor('SELECT g FROM generate_series(1, $1::int) g ORDER BY g', [250]))
  let seen = 0
  for (;;) {
    const rows = await cursor.read(100)
    if (rows.length === 0) break
    seen += rows.length
  }
  await cursor.close()
  assert.equal(seen, 250)
  const early = c.query(new Cursor('SELECT g FROM generate_series(1, 100000) g'))
  await early.read(1)
  await early.close()
  assert.equal((await c.query('SELECT 1 AS one')).rows[0].one, 1)
})

check('COPY streams', async (c) => {
  await fresh(c, 'nodepg_c', 'id int PRIMARY KEY, v text')
  const lines = Array.from({ length: 2000 }, (_, i) => `${i}\tvalue ${i}\n`)
  await pipeline(Readable.from(lines), c.query(copy.from('COPY nodepg_c FROM STDIN')))
  let text = ''
  for await (const part of c.query(copy.to('COPY (SELECT * FROM nodepg_c WHERE id < 2 ORDER BY id) TO STDOUT'))) text += part
  assert.equal(text, '0\tvalue 0\n1\tvalue 1\n')
  assert.equal((await c.query('SELECT count(*)::int AS n FROM nodepg_c')).rows[0].n, 2000)
  await assert.rejects(pipeline(Readable.from(['1\tagain\n']), c.query(copy.from('COPY nodepg_c FROM STDIN'))), { code: '23505' })
})

check('cancelling', async (c) => {
  const other = await connect()
  const { rows } = await c.query('SELECT pg_backend_pid() AS pid')
  const sleeping = c.query('SELECT pg_sleep(20)').then(() => 'it slept', (error) => error.code)
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal((await other.query('SELECT pg_cancel_backend($1) AS ok', [rows[0].pid])).rows[0].ok, true)
  assert.equal(await sleeping, '57014')
  await other.end()
})

check('statement_timeout', async () => {
  const c = await connect({ statement_timeout: 200 })
  await assert.rejects(c.query('SELECT pg_sleep(20)'), { code: '57014' })
  await c.end()
})

check('notices', async (c) => {
  const heard = []
  c.on('notice', (notice) => heard.push(notice.message))
  await c.query('DROP TABLE IF EXISTS nodepg_never')
  assert.deepEqual(heard, ['table "nodepg_never" does not exist, skipping'])
})

check('a pool of connections', async () => {
  const pool = new pg.Pool({ max: 8 })
  const all = await Promise.all(Array.from({ length: 64 }, (_, i) => pool.query('SELECT $1::int AS n', [i])))
  assert.equal(all.reduce((sum, r) => sum + r.rows[0].n, 0), 2016)
  await pool.end()
})

let passed = 0
let failed = 0
for (const [name, run] of checks) {
  let client
  try {
    client = await connect()
    await run(client)
    passed += 1
  } catch (error) {
    failed += 1
    console.log(`    FAILED: ${name}\n        ${String(error.stack ?? error).split('\n').slice(0, 12).join('\n        ')}`)
  }
  await client?.end().catch(() => {})
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
