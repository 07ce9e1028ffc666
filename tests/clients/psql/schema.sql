-- What psql's backslash commands look at.
CREATE SCHEMA app;
CREATE TABLE app.customer (
    id bigserial PRIMARY KEY,
    email varchar(80) NOT NULL UNIQUE,
    name text DEFAULT 'nobody',
    age smallint CHECK (age >= 0),
    balance numeric(12,2) NOT NULL DEFAULT 0,
    created timestamptz DEFAULT now()
);
CREATE TABLE app.orders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES app.customer (id) ON DELETE CASCADE,
    placed date NOT NULL,
    code char(4),
    note json,
    CONSTRAINT orders_code_key UNIQUE (customer_id, code)
);
CREATE INDEX orders_placed ON app.orders (placed DESC, customer_id);
CREATE VIEW app.rich AS SELECT id, email FROM app.customer WHERE balance > 1000;
CREATE SEQUENCE app.counter START 5 INCREMENT 5;
CREATE TABLE everything (
    a int2, b int4 NOT NULL, c int8, d float4, e float8, f numeric, g text, h varchar, i char(3), j bool,
    k date, l time, m timestamp, n timestamptz, o uuid, p bytea, q jsonb
);
CREATE TABLE pair (x int, y int, PRIMARY KEY (x, y));
