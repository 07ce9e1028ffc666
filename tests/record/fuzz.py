"""Random queries, the same to two servers: prints those whose answers differ.

    fuzz.py ORACLE_PORT PORT [SEED [COUNT]]

Deterministic: query N of seed S is always the same. Rows are compared as multisets unless the query
orders them by all of its columns. Both servers need the tables of `SCHEMA`, which the script makes.
"""

import random
import re
import sys

from wire import Server

SCHEMA = """
DROP TABLE IF EXISTS f1, f2, f3;
CREATE TABLE f1 (id int PRIMARY KEY, a int, b numeric(8,2), c text, d date, f float8);
CREATE TABLE f2 (id int PRIMARY KEY, a int, b numeric(8,2), c text, t1_id int);
CREATE TABLE f3 (k text, v int, n bigint);
INSERT INTO f1 VALUES (1,1,1.50,'x','2024-01-01',0),(2,2,NULL,'y','2024-02-01','-0'),(3,NULL,3.25,'x',NULL,'NaN'),
 (4,2,1.50,NULL,'2024-01-01',1.5),(5,5,-2.00,'z','2023-05-05','NaN'),(6,NULL,NULL,NULL,NULL,NULL),
 (7,3,0.00,'y','2024-02-01','-Infinity'),(8,1,10.75,'w','2025-01-01',2.5);
INSERT INTO f2 VALUES (1,1,1.50,'x',1),(2,2,2.50,'q',1),(3,NULL,3.25,'x',2),(4,7,NULL,'y',9),(5,2,1.50,NULL,NULL),
 (6,3,0.00,'z',4),(7,5,5.00,'x',3),(8,1,NULL,'y',8),(9,NULL,NULL,NULL,NULL);
INSERT INTO f3 VALUES ('x',1,10),('x',2,20),('y',NULL,30),(NULL,4,NULL),('z',5,9000000000),('x',1,10),('q',3,-5);
"""

TABLES = {
    "f1": {"id": "int", "a": "int", "b": "num", "c": "text", "d": "date", "f": "float"},
    "f2": {"id": "int", "a": "int", "b": "num", "c": "text", "t1_id": "int"},
    "f3": {"k": "text", "v": "int", "n": "big"},
}
LITERALS = {
    "int": ["0", "1", "2", "3", "5", "-1", "NULL::int"],
    "big": ["10::bigint", "0::bigint", "9000000000"],
    "num": ["1.50", "0", "2.5", "-2.00", "NULL::numeric(8,2)"],
    "text": ["'x'", "'y'", "'q'", "''", "NULL::text"],
    "date": ["date '2024-01-01'", "date '2024-02-01'", "NULL::date"],
    "float": ["0::float8", "1.5::float8", "'NaN'::float8", "'-0'::float8"],
    "bool": ["true", "false", "NULL::boolean"],
}
COMPARISONS = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = 0

    def pick(self, items):
        return self.random.choice(list(items))

    def chance(self, share):
        return self.random.random() < share

    def name(self):
        self.names += 1
        return f"q{self.names}"

    # Scopes are lists of (qualified column, type), innermost first.

    def column(self, scopes, kind):
        found = [column for scope in scopes for column, ty in scope if ty == kind]
        own = [column for column, ty in scopes[0] if ty == kind]
        if own and (self.chance(0.7) or not found):
            return self.pick(own)
        return self.pick(found) if found else None

    def value(self, scopes, kind, depth):
        roll = self.random.random()
        if roll < 0.6:
            column = self.column(scopes, kind)
            if column:
                return column
        if depth > 0 and roll > 0.75:
            if kind in ("int", "num", "big") and self.chance(0.4):
                op = self.pick(["+", "-", "*"])
                return f"({self.value(scopes, kind, depth - 1)} {op} {self.value(scopes, kind, depth - 1)})"
            if self.chance(0.3):
                condition = self.condition(scopes, depth - 1)
                return (
                    f"CASE WHEN {condition} THEN {self.value(scopes, kind, depth - 1)}"
                    f" ELSE {self.value(scopes, kind, depth - 1)} END"
                )
            if self.chance(0.3):
                return f"coalesce({self.value(scopes, kind, depth - 1)}, {self.value(scopes, kind, depth - 1)})"
            if self.chance(0.5):
                return self.scalar(scopes, kind, depth - 1)
        return self.pick(LITERALS[kind])

    def scalar(self, scopes, kind, depth):
        """A scalar sub-query of the kind, correlated as it happens."""
        table, name = self.pick(TABLES), self.name()
        own = [(f"{name}.{column}", ty) for column, ty in TABLES[table].items()]
        inner = [own] + scopes
        where = f" WHERE {self.condition(inner, depth)}" if self.chance(0.8) else ""
        roll = self.random.random()
        if kind == "big" and roll < 0.6:
            return f"(SELECT count({self.pick(['*', own[1][0]])}) FROM {table} {name}{where})"
        if roll < 0.6:
            function = self.pick(["max", "min"])
            result = f"{function}({self.value(inner, kind, 0)})"
            if kind in ("int", "num") and self.chance(0.3):
                result = f"coalesce({result}, {self.pick(LITERALS[kind])})"
            return f"(SELECT {result} FROM {table} {name}{where})"
        key = own[0][0] if table != "f3" else f"{name}.k, {name}.v, {name}.n"
        offset = f" OFFSET {self.pick('12')}" if self.chance(0.3) else ""
        value = self.column([own], kind)
        if value is None:
            return f"(SELECT {self.value(scopes, kind, 0)} FROM {table} {name}{where} LIMIT 1)"
        return f"(SELECT {value} FROM {table} {name}{where} ORDER BY {value}, {key} LIMIT 1{offset})"

    def condition(self, scopes, depth):
        kinds = sorted({ty for scope in scopes for _, ty in scope})
        kind = self.pick(kinds)
        roll = self.random.random()
        if depth > 0 and roll < 0.25:
            op = self.pick([" AND ", " OR "])
            return f"({self.condition(scopes, depth - 1)}{op}{self.condition(scopes, depth - 1)})"
        if depth > 0 and roll < 0.32:
            return f"NOT ({self.condition(scopes, depth - 1)})"
        if depth > 0 and roll < 0.62:
            return self.subquery_condition(scopes, kind, depth - 1)
        if roll < 0.68:
            return f"{self.value(scopes, kind, 0)} IS {self.pick(['', 'NOT '])}NULL"
        if roll < 0.74:
            items = ", ".join(self.value(scopes, kind, 0) for _ in range(self.random.randint(1, 3)))
            return f"{self.value(scopes, kind, 0)} {self.pick(['', 'NOT '])}IN ({items})"
        if roll < 0.78:
            return (
                f"{self.value(scopes, kind, 0)} {self.pick(['', 'NOT '])}BETWEEN"
                f" {self.value(scopes, kind, 0)} AND {self.value(scopes, kind, 0)}"
            )
        if roll < 0.8 and depth > 0:
            return f"({self.condition(scopes, depth - 1)}) IS {self.pick(['', 'NOT '])}{self.pick(['TRUE', 'FALSE', 'UNKNOWN'])}"
        left, right = self.value(scopes, kind, depth), self.value(scopes, kind, depth)
        return f"{left} {self.pick(COMPARISONS)} {right}"

    def subquery_condition(self, scopes, kind, depth):
        table, name = self.pick(TABLES), self.name()
        own = [(f"{name}.{column}", ty) for column, ty in TABLES[table].items()]
        inner = [own] + scopes
        where = f" WHERE {self.condition(inner, depth)}" if self.chance(0.8) else ""
        roll = self.random.random()
        if roll < 0.4:
            return f"{self.pick(['', 'NOT '])}EXISTS (SELECT 1 FROM {table} {name}{where})"
        found = self.column([own], kind) or self.value(inner, kind, 0)
        if roll < 0.7:
            return f"{self.value(scopes, kind, 0)} {self.pick(['', 'NOT '])}IN (SELECT {found} FROM {table} {name}{where})"
        if roll < 0.85:
            op = self.pick(COMPARISONS[:6])
            return f"{self.value(scopes, kind, 0)} {op} {self.pick(['ANY', 'ALL'])} (SELECT {found} FROM {table} {name}{where})"
        if roll < 0.93:
            other = self.pick([ty for _, ty in own])
            more = self.column([own], other)
            return (
                f"({self.value(scopes, kind, 0)}, {self.value(scopes, other, 0)})"
                f" {self.pick(['', 'NOT '])}IN (SELECT {found}, {more} FROM {table} {name}{where})"
            )
        return f"{self.value(scopes, kind, 0)} {self.pick(COMPARISONS[:6])} {self.scalar(scopes, kind, depth)}"

    def from_item(self, outer, depth):
        """A FROM item, its columns."""
        roll = self.random.random()
        if depth > 0 and roll < 0.2:
            sql, columns = self.select(outer, depth - 1, plain=True)
            name = self.name()
            return f"({sql}) {name}", [(f"{name}.{column}", ty) for column, ty in columns]
        table, name = self.pick(TABLES), self.name()
        return f"{table} {name}", [(f"{name}.{column}", ty) for column, ty in TABLES[table].items()]

    def tables(self, outer, depth):
        sql, columns = self.from_item(outer, depth)
        for _ in range(self.pick([0, 0, 1, 1, 2])):
            roll = self.random.random()
            if depth > 0 and roll < 0.2:
                inner, more = self.select([columns] + outer, depth - 1, plain=True)
                name = self.name()
                kind = self.pick(["CROSS JOIN", "LEFT JOIN", "JOIN"])
                on = "" if kind == "CROSS JOIN" else " ON true"
                sql += f" {kind} LATERAL ({inner}) {name}{on}"
                columns = columns + [(f"{name}.{column}", ty) for column, ty in more]
                continue
            item, more = self.from_item(outer, depth - 1)
            kind = self.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
            both = columns + more
            if kind == "CROSS JOIN":
                on = ""
            else:
                shared = sorted({ty for _, ty in columns} & {ty for _, ty in more})
                if not shared:
                    kind, on = "CROSS JOIN", ""
                else:
                    ty = self.pick(shared)
                    op = "=" if kind == "FULL JOIN" or self.chance(0.8) else self.pick(COMPARISONS)
                    on = f" ON {self.column([columns], ty)} {op} {self.column([more], ty)}"
                    if kind != "FULL JOIN" and self.chance(0.3):
                        on += f" AND {self.condition([both], 1 if kind == 'JOIN' else 0)}"
            sql += f" {kind} {item}{on}"
            columns = both
        return sql, columns

    def select(self, outer, depth, plain=False):
        """A SELECT and its columns (name, type)."""
        sql, columns = self.tables(outer, depth)
        scopes = [columns] + outer
        where = f" WHERE {self.condition(scopes, depth)}" if self.chance(0.6) else ""
        kinds = sorted({ty for _, ty in columns})
        outputs, tail = [], ""
        if self.chance(0.3):
            groups = [column for column, _ in self.random.sample(columns, self.pick([0, 1, 1, 2]))]
            types = dict(columns)
            sets = bool(groups) and self.chance(0.2)
            outputs = [(group, types[group]) for group in groups]
            for _ in range(self.pick([1, 2])):
                kind = self.pick([kind for kind in kinds])
                argument = self.value([columns], kind, 0)
                call = self.pick(["count", "min", "max", "count(DISTINCT"])
                if call == "count(DISTINCT":
                    outputs.append((f"count(DISTINCT {argument})", "big"))
                elif call == "count":
                    filtered = f" FILTER (WHERE {self.condition([columns], 0)})" if self.chance(0.3) else ""
                    outputs.append((f"count({argument}){filtered}", "big"))
                else:
                    outputs.append((f"{call}({argument})", kind))
            if groups:
                by = ", ".join(groups)
                tail = f" GROUP BY {self.pick(['ROLLUP', 'CUBE'])} ({by})" if sets else f" GROUP BY {by}"
            if self.chance(0.3):
                tail += f" HAVING count(*) {self.pick(['>', '<', '='])} {self.pick('012')}"
        else:
            for _ in range(self.pick([1, 2, 3])):
                kind = self.pick(kinds)
                outputs.append((self.value(scopes, kind, depth), kind))
            if self.chance(0.15) and not plain:
                kind = self.pick(kinds)
                part = self.column([columns], self.pick(kinds))
                order = ", ".join(column for column, _ in columns)
                call = self.pick(["row_number()", "rank()", f"count({self.column([columns], kind)})", "lag(1)"])
                outputs.append((f"{call} OVER (PARTITION BY {part} ORDER BY {order})", "big"))
        names = [f"o{at}" for at in range(len(outputs))]
        shown = ", ".join(f"{value} AS {name}" for (value, _), name in zip(outputs, names))
        distinct = "DISTINCT " if self.chance(0.15) else ""
        text = f"SELECT {distinct}{shown} FROM {sql}{where}{tail}"
        if self.chance(0.25):
            text += " ORDER BY " + ", ".join(
                f"{at + 1}{self.pick(['', ' DESC', ' NULLS FIRST'])}" for at in range(len(outputs))
            )
            if self.chance(0.6):
                text += f" LIMIT {self.pick('1235')}"
            if self.chance(0.3):
                text += f" OFFSET {self.pick('012')}"
        return text, list(zip(names, (kind for _, kind in outputs)))

    def query(self):
        if self.chance(0.15):
            left, columns = self.select([], 1, plain=True)
            kinds = [kind for _, kind in columns]
            arms = []
            for _ in range(2):
                table, name = self.pick(TABLES), self.name()
                own = [(f"{name}.{column}", ty) for column, ty in TABLES[table].items()]
                arms.append(
                    "SELECT " + ", ".join(self.value([own], kind, 0) for kind in kinds) + f" FROM {table} {name}"
                )
            op = lambda: self.pick(["UNION", "INTERSECT", "EXCEPT"]) + self.pick(["", " ALL"])
            return f"({left}) {op()} {arms[0]} {op()} {arms[1]}"
        return self.select([], self.pick([1, 2, 2, 3]))[0]


def plain(value):
    """Which of several equal values stands for them is anybody's choice: `-0`, `2.50`."""
    if value is None:
        return "NULL"
    if re.fullmatch(r"-?[0-9]+[.][0-9]+", value):
        value = value.rstrip("0").rstrip(".")
    return "0" if value == "-0" else value


def normal(rows):
    return sorted(tuple(plain(value) for value in row) for row in rows)


def main():
    oracle, server = Server(int(sys.argv[1])), Server(int(sys.argv[2]))
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
    for statement in SCHEMA.split(";\n"):
        for side in (oracle, server):
            if statement.strip():
                side.ask(statement)
    oracle.ask("SET statement_timeout = 5000")
    differ = failed = refused = 0
    for number in range(count):
        sql = Generator(f"{seed}:{number}").query()
        expected = oracle.ask(sql)
        if expected[0] == "error" and expected[1] == "57014":
            continue
        got = server.ask(sql)
        if expected[0] == "error":
            failed += 1
            if got[0] != "error" or got[1] != expected[1]:
                print(f"-- {seed}:{number} ERROR\n{sql}\n    want {expected}\n    got  {str(got)[:300]}")
                differ += 1
        elif got[0] == "error":
            refused += 1
            print(f"-- {seed}:{number} REFUSED\n{sql}\n    {got}")
        elif normal(got[1]) != normal(expected[1]):
            differ += 1
            print(f"-- {seed}:{number} ROWS\n{sql}\n    want {str(normal(expected[1]))[:600]}\n    got  {str(normal(got[1]))[:600]}")
    print(f"seed {seed}: {count} queries, {failed} errors, {refused} refused, {differ} differ")


if __name__ == "__main__":
    main()
