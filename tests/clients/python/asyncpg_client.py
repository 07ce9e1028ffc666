"""asyncpg, which speaks binary formats and reads pg_catalog, against the server in PGHOST, PGPORT."""

import asyncio
import datetime as dt
import io
import sys
import uuid
from decimal import Decimal

import asyncpg

from harness import CHECKS, DATABASE, HOST, PORT, USER, check, describe, failure, report

UTC = dt.timezone.utc


def connect(**more):
    return asyncpg.connect(host=HOST, port=PORT, user=USER, database=DATABASE, timeout=30, **more)


async def fresh(c, name, columns):
    await c.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})")


TYPES = [
    ("int2", [0, 32767, -32768, None]),
    ("int4", [0, 2147483647, -2147483648, None]),
    ("int8", [0, 2**63 - 1, -(2**63), None]),
    ("float4", [0.5, -2.0, float("inf"), None]),
    ("float8", [0.1, -1e300, float("-inf"), None]),
    ("numeric", [Decimal("0"), Decimal("1.10"), Decimal("-12345678901234567890.000000001"), Decimal("1000000"), Decimal("0.0000001"), None]),
    ("numeric(8,3)", [Decimal("1.125"), Decimal("-99999.999"), None]),
    ("text", ["", "日本 🙂", None]),
    ("varchar(10)", ["abc", None]),
    ("char(4)", ["ab  ", None]),
    ("bool", [True, False, None]),
    ("date", [dt.date(1, 1, 1), dt.date(2000, 1, 1), dt.date(2024, 2, 29), None]),
    ("time", [dt.time(12, 34, 56, 789), None]),
    ("timestamp", [dt.datetime(1900, 1, 1, 1, 1, 1), dt.datetime(2024, 2, 29, 1, 2, 3, 456), None]),
    ("timestamptz", [dt.datetime(2024, 2, 29, tzinfo=UTC), dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), None]),
    ("uuid", [uuid.UUID(int=5), None]),
    ("bytea", [b"", b"\x00\x01\xff", None]),
    ("json", ['{"a": 1}', "null", None]),
    ("jsonb", ['{"a": 1}', "[1, 2]", None]),
]

for type_name, type_values in TYPES:
    async def trip(c, name=type_name, values=type_values):
        await fresh(c, "apg_types", f"id int PRIMARY KEY, v {name}")
        for i, value in enumerate(values):
            await c.execute("INSERT INTO apg_types VALUES ($1, $2)", i, value)
        rows = await c.fetch("SELECT v FROM apg_types ORDER BY id")
        assert [r["v"] for r in rows] == values, rows
        assert await c.fetchval(f"SELECT $1::{name}", values[0]) == values[0]

    trip.__doc__ = f"{type_name} in binary"
    check(trip)


@check
async def arrays(c):
    """Array parameters and results"""
    assert await c.fetchval("SELECT $1::int[]", [1, None, 3]) == [1, None, 3]
    await fresh(c, "apg_a", "id int PRIMARY KEY")
    await c.executemany("INSERT INTO apg_a VALUES ($1)", [(i,) for i in range(10)])
    rows = await c.fetch("SELECT id FROM apg_a WHERE id = ANY($1::int[]) ORDER BY id", [1, 5, 99])
    assert [r[0] for r in rows] == [1, 5]


@check
async def prepared(c):
    """Prepared statements, their parameters and attributes"""
    await fresh(c, "apg_p", "id int PRIMARY KEY, v varchar(7), n numeric(5,1)")
    statement = await c.prepare("SELECT v, n FROM apg_p WHERE id = $1 AND v LIKE $2")
    assert [t.name for t in statement.get_parameters()] == ["int4", "text"], statement.get_parameters()
    assert [(a.name, a.type.name) for a in statement.get_attributes()] == [("v", "varchar"), ("n", "numeric")]
    insert = await c.prepare("INSERT INTO apg_p VALUES ($1, $2, $3)")
    assert [t.name for t in insert.get_parameters()] == ["int4", "varchar", "numeric"], insert.get_parameters()
    await insert.executemany([(i, f"v{i}", Decimal(i)) for i in range(50)])
    assert await statement.fetchrow(7, "v%") == ("v7", Decimal("7.0"))
    assert await statement.fetchrow(7, "x%") is None


@check
async def schema_change(c):
    """A prepared statement notices a schema change"""
    await fresh(c, "apg_s", "id int PRIMARY KEY")
    await c.execute("INSERT INTO apg_s VALUES (1)")
    assert len(await c.fetchrow("SELECT * FROM apg_s WHERE id = $1", 1)) == 1
    await c.execute("ALTER TABLE apg_s ADD COLUMN v text DEFAULT 'd'")
    assert tuple(await c.fetchrow("SELECT * FROM apg_s WHERE id = $1", 1)) == (1, "d")


@check
async def cursors(c):
    """Portals with row limits"""
    async with c.transaction():
        seen = [r["g"] async for r in c.cursor("SELECT g FROM generate_series(1, 1000) g ORDER BY g", prefetch=7)]
        assert seen == list(range(1, 1001))
        cursor = await c.cursor("SELECT g FROM generate_series(1, 100) g ORDER BY g")
        assert [r[0] for r in await cursor.fetch(3)] == [1, 2, 3]
        assert (await cursor.fetchrow())[0] == 4


@check
async def transactions(c):
    """Transactions, savepoints, isolation"""
    await fresh(c, "apg_t", "id int PRIMARY KEY")
    async with c.transaction():
        await c.execute("INSERT INTO apg_t VALUES (1)")
        try:
            async with c.transaction():
                await c.execute("INSERT INTO apg_t VALUES (1)")
        except asyncpg.UniqueViolationError as error:
            assert error.constraint_name == "apg_t_pkey" and error.table_name == "apg_t", error.as_dict()
            assert error.detail == "Key (id)=(1) already exists."
        await c.execute("INSERT INTO apg_t VALUES (2)")
    assert await c.fetchval("SELECT count(*) FROM apg_t") == 2
    async with c.transaction(isolation="serializable", readonly=True):
        assert await c.fetchval("SHOW transaction_isolation") == "serializable"
        try:
            async with c.transaction():
                await c.execute("INSERT INTO apg_t VALUES (3)")
            raise AssertionError("no error")
        except asyncpg.ReadOnlySQLTransactionError:
            pass


@check
async def copy(c):
    """COPY: records in binary, tables and queries out"""
    await fresh(c, "apg_c", "id int PRIMARY KEY, v text, n numeric, t timestamptz")
    now = dt.datetime(2024, 1, 1, tzinfo=UTC)
    tag = await c.copy_records_to_table("apg_c", records=[(i, f"v{i}", Decimal(i) / 4, now) for i in range(500)])
    assert tag == "COPY 500", tag
    out = io.BytesIO()
    await c.copy_from_query("SELECT id, v, n FROM apg_c WHERE id < $1 ORDER BY id", 2, output=out, format="csv")
    assert out.getvalue() == b"0,v0,0\n1,v1,0.25\n", out.getvalue()
    await c.copy_to_table("apg_c", source=io.BytesIO(b"900\tx\t1.5\t\\N\n"), format="text")
    assert await c.fetchval("SELECT n FROM apg_c WHERE id = 900") == Decimal("1.5")


@check
async def errors(c):
    """Errors: class, position, and the connection goes on"""
    for sql, kind in [("SELECT nope", asyncpg.UndefinedColumnError), ("SELECT * FROM apg_nope", asyncpg.UndefinedTableError), ("SELEC", asyncpg.PostgresSyntaxError), ("SELECT 1/0", asyncpg.DivisionByZeroError)]:
        try:
            await c.fetch(sql)
            raise AssertionError(sql)
        except kind:
            pass
    try:
        await c.fetchval("SELECT $1::int", "not a number")
        raise AssertionError("no error")
    except asyncpg.DataError:
        pass
    assert await c.fetchval("SELECT 1") == 1


@check
async def cancel(c):
    """A time-out cancels the statement"""
    try:
        await c.execute("SELECT pg_sleep(20)", timeout=0.5)
        raise AssertionError("no time-out")
    except asyncio.TimeoutError:
        pass
    assert await c.fetchval("SELECT 2") == 2


@check
async def concurrent(c):
    """Twenty connections at once"""
    await fresh(c, "apg_n", "id int PRIMARY KEY, n int")
    await c.execute("INSERT INTO apg_n VALUES (1, 0)")

    async def add():
        own = await connect()
        try:
            for _ in range(10):
                await own.execute("UPDATE apg_n SET n = n + 1 WHERE id = 1")
        finally:
            await own.close()

    await asyncio.gather(*(add() for _ in range(20)))
    assert await c.fetchval("SELECT n FROM apg_n") == 200


@check
async def pool(c):
    """A pool: reset between users, statement cache"""
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, database=DATABASE, min_size=2, max_size=4) as pool:
        async def use(i):
            async with pool.acquire() as own:
                await own.execute("SET application_name = 'x'")
                return await own.fetchval("SELECT $1::int * 2", i)

        assert await asyncio.gather(*(use(i) for i in range(30))) == [i * 2 for i in range(30)]


async def main():
    results = []
    for function in CHECKS:
        try:
            connection = await connect()
            try:
                await asyncio.wait_for(function(connection), 60)
            finally:
                connection.terminate()
            results.append((describe(function), None))
        except Exception:
            results.append((describe(function), failure()))
    return report(results)


sys.exit(asyncio.run(main()))
