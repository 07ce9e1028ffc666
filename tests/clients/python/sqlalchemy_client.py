"""SQLAlchemy (core, ORM, reflection) over psycopg 3, against the server in PGHOST, PGPORT."""

import datetime as dt
import sys
import uuid
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

from harness import CHECKS, DATABASE, HOST, PORT, USER, check, describe, failure, report

ENGINE = sa.create_engine(f"postgresql+psycopg://{USER}@{HOST}:{PORT}/{DATABASE}")


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True)
    born: orm.Mapped[dt.date | None]
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_book"
    __table_args__ = (sa.CheckConstraint("price >= 0", name="sa_book_price"), sa.Index("sa_book_title", "title", "author_id"))
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(8, 2), server_default="0")
    key: orm.Mapped[uuid.UUID] = orm.mapped_column(default=uuid.uuid4)
    meta: orm.Mapped[dict | None] = orm.mapped_column(pg.JSONB)
    added: orm.Mapped[dt.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("sa_author.id", ondelete="CASCADE"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


@check
def create_all():
    """create_all and drop_all"""
    Base.metadata.drop_all(ENGINE)
    Base.metadata.create_all(ENGINE)
    Base.metadata.create_all(ENGINE)


@check
def orm_write():
    """ORM: inserts with defaults, relationships, updates, rollback"""
    with orm.Session(ENGINE) as session:
        ann = Author(name="Ann", born=dt.date(1970, 1, 2))
        ann.books = [Book(title="One", price=Decimal("9.99"), meta={"tags": ["a"]}), Book(title="Two")]
        session.add_all([ann, Author(name="Bob")])
        session.commit()
        assert ann.id and ann.books[1].price == Decimal("0.00") and ann.books[0].added is not None
        ann.books[0].title = "Uno"
        session.flush()
        session.rollback()
        assert ann.books[0].title == "One"
        session.add(Author(name="Ann"))
        try:
            session.commit()
            raise AssertionError("no error")
        except sa.exc.IntegrityError as error:
            assert error.orig.sqlstate == "23505"


@check
def orm_read():
    """ORM: joins, aggregates, eager loading, paging"""
    with orm.Session(ENGINE) as session:
        statement = sa.select(Author.name, sa.func.count(Book.id)).outerjoin(Book).group_by(Author.name).order_by(Author.name)
        assert session.execute(statement).all() == [("Ann", 2), ("Bob", 0)]
        ann = session.scalars(sa.select(Author).options(orm.selectinload(Author.books)).where(Author.name == "Ann")).one()
        assert sorted(b.title for b in ann.books) == ["One", "Two"]
        ann = session.scalars(sa.select(Author).options(orm.joinedload(Author.books)).where(Author.name == "Ann")).unique().one()
        assert len(ann.books) == 2
        assert session.scalars(sa.select(Book.title).order_by(Book.title).limit(1).offset(1)).all() == ["Two"]
        assert session.scalars(sa.select(Book.title).where(Book.title.in_(["One", "x"]))).all() == ["One"]
        assert session.scalars(sa.select(Book.title).where(Book.title.ilike("t%"))).all() == ["Two"]
        assert session.scalar(sa.select(sa.exists().where(Author.name == "Bob"))) is True
        assert session.get(Author, ann.id) is ann
        assert session.scalar(sa.select(Book.meta["tags"][0].astext).where(Book.title == "One")) == "a"


@check
def orm_delete():
    """ORM: delete cascades"""
    with orm.Session(ENGINE) as session:
        session.delete(session.scalars(sa.select(Author).where(Author.name == "Ann")).one())
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 0


@check
def core():
    """Core: bulk insert, RETURNING, upsert, update from, CTE"""
    meta = sa.MetaData()
    table = sa.Table("sa_core", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.BigInteger, nullable=False), sa.Column("t", sa.Text))
    meta.drop_all(ENGINE)
    meta.create_all(ENGINE)
    with ENGINE.begin() as connection:
        connection.execute(table.insert(), [{"n": i, "t": str(i)} for i in range(100)])
        ids = connection.execute(table.insert().values(n=5, t="r").returning(table.c.id)).scalars().all()
        assert ids == [101], ids
        upsert = pg.insert(table).values(id=1, n=1000, t="up")
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_={"n": upsert.excluded.n + table.c.n})
        assert connection.execute(upsert.returning(table.c.n)).scalar_one() == 1000
        assert connection.execute(table.update().where(table.c.n < 10).values(t=table.c.t + "!")).rowcount == 10
        assert connection.execute(table.delete().where(table.c.id > 100)).rowcount == 1
        cte = sa.select(table.c.n).where(table.c.n < 5).cte("small")
        assert connection.scalar(sa.select(sa.func.sum(cte.c.n))) == 10
        assert connection.scalar(sa.select(table.c.id).where(table.c.id == 2).with_for_update()) == 2
    meta.drop_all(ENGINE)


@check
def types():
    """Core: a column of every type"""
    meta = sa.MetaData()
    values = {
        "small": (sa.SmallInteger, -5), "big": (sa.BigInteger, 2**40), "real": (sa.REAL, 1.5), "double": (sa.Double, 0.1),
        "num": (sa.Numeric(12, 4), Decimal("1.2500")), "txt": (sa.Text, "é"), "vc": (sa.String(9), "v"), "ch": (sa.CHAR(3), "a  "),
        "flag": (sa.Boolean, True), "day": (sa.Date, dt.date(2024, 2, 29)), "tm": (sa.Time, dt.time(1, 2, 3)),
        "ts": (sa.DateTime, dt.datetime(2024, 1, 1, 1)), "tz": (sa.DateTime(timezone=True), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)),
        "uid": (sa.Uuid, uuid.UUID(int=7)), "raw": (sa.LargeBinary, b"\x00\xff"), "js": (sa.JSON, {"a": None}), "jb": (pg.JSONB, [1, "x"]),
    }
    table = sa.Table("sa_types", meta, sa.Column("id", sa.Integer, primary_key=True), *(sa.Column(n, t) for n, (t, _) in values.items()))
    meta.drop_all(ENGINE)
    meta.create_all(ENGINE)
    with ENGINE.begin() as connection:
        connection.execute(table.insert().values(id=1, **{n: v for n, (_, v) in values.items()}))
        row = connection.execute(sa.select(table)).mappings().one()
        for name, (_, value) in values.items():
            assert row[name] == value, (name, row[name], value)
    reflected = sa.Table("sa_types", sa.MetaData(), autoload_with=ENGINE)
    for name, (kind, _) in values.items():
        kind = kind() if isinstance(kind, type) else kind
        assert isinstance(reflected.c[name].type, kind.__class__.__mro__[0]) or reflected.c[name].type._type_affinity is kind._type_affinity, (name, reflected.c[name].type)
    assert reflected.c.num.type.precision == 12 and reflected.c.vc.type.length == 9
    meta.drop_all(ENGINE)


@check
def reflection():
    """Reflection: tables, columns, keys, indexes, checks, views"""
    with ENGINE.begin() as connection:
        connection.execute(sa.text("DROP VIEW IF EXISTS sa_view"))
        connection.execute(sa.text("CREATE VIEW sa_view AS SELECT id, title FROM sa_book"))
    inspector = sa.inspect(ENGINE)
    assert {"sa_author", "sa_book"} <= set(inspector.get_table_names())
    assert "public" in inspector.get_schema_names()
    assert inspector.get_view_names() == ["sa_view"]
    columns = {c["name"]: c for c in inspector.get_columns("sa_book")}
    assert list(columns) == ["id", "title", "price", "key", "meta", "added", "author_id"], list(columns)
    assert columns["id"]["identity"]["always"] is False and not columns["title"]["nullable"]
    assert str(columns["price"]["type"]) == "NUMERIC(8, 2)" and columns["price"]["default"] in ("0", "'0'::numeric"), columns["price"]
    assert columns["added"]["type"].timezone
    assert inspector.get_pk_constraint("sa_book")["constrained_columns"] == ["id"]
    assert inspector.get_pk_constraint("sa_book")["name"] == "sa_book_pkey"
    (key,) = inspector.get_foreign_keys("sa_book")
    assert (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"]) == (["author_id"], "sa_author", ["id"], {"ondelete": "CASCADE"}), key
    assert [(u["name"], u["column_names"]) for u in inspector.get_unique_constraints("sa_author")] == [("sa_author_name_key", ["name"])]
    indexes = {i["name"]: i for i in inspector.get_indexes("sa_book")}
    assert indexes["sa_book_title"]["column_names"] == ["title", "author_id"], indexes
    assert [c["name"] for c in inspector.get_check_constraints("sa_book")] == ["sa_book_price"]
    assert inspector.has_table("sa_book") and not inspector.has_table("sa_nope")
    reflected = sa.MetaData()
    reflected.reflect(ENGINE, only=["sa_book"])
    assert {"sa_book", "sa_author"} <= set(reflected.tables)
    with ENGINE.begin() as connection:
        connection.execute(sa.text("DROP VIEW sa_view"))


@check
def isolation():
    """Isolation levels and savepoints through the engine"""
    with ENGINE.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "serializable"
    with ENGINE.begin() as connection:
        nested = connection.begin_nested()
        try:
            connection.execute(sa.text("SELECT 1/0"))
        except sa.exc.DataError:
            nested.rollback()
        assert connection.scalar(sa.text("SELECT 1")) == 1


@check
def clean_up():
    """drop_all"""
    Base.metadata.drop_all(ENGINE)


results = []
for function in CHECKS:
    try:
        function()
        results.append((describe(function), None))
    except Exception:
        results.append((describe(function), failure()))
sys.exit(report(results))
