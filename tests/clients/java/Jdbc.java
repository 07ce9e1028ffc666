// pgjdbc against the server in PGHOST, PGPORT.
//
//   java -cp /usr/share/java/postgresql.jar tests/clients/java/Jdbc.java [WORDS]    checks with WORDS in their name

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class Jdbc {
    interface Check {
        void run(Connection connection) throws Exception;
    }

    record Named(String name, boolean binary, Check check) {}

    static final List<Named> CHECKS = new ArrayList<>();

    static void check(String name, Check check) {
        CHECKS.add(new Named(name, false, check));
    }

    static String setting(String name, String otherwise) {
        return Objects.requireNonNullElse(System.getenv(name), otherwise);
    }

    /** With `binary`, statements are prepared from their first run on, and values travel in binary. */
    static Connection connect(boolean binary) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", setting("PGUSER", "postgres"));
        properties.setProperty("prepareThreshold", binary ? "-1" : "0");
        properties.setProperty("binaryTransfer", String.valueOf(binary));
        properties.setProperty("connectTimeout", "20");
        properties.setProperty("password", setting("PGPASSWORD", ""));
        properties.setProperty("sslmode", setting("PGSSLMODE", "prefer"));
        String url = "jdbc:postgresql://" + setting("PGHOST", "127.0.0.1") + ":" + setting("PGPORT", "5432") + "/" + setting("PGDATABASE", "postgres");
        return DriverManager.getConnection(url, properties);
    }

    static void equal(Object got, Object expected) {
        if (!Objects.deepEquals(got, expected)) throw new AssertionError(show(got) + " instead of " + show(expected));
    }

    static String show(Object value) {
        return value instanceof Object[] array ? Arrays.deepToString(array) : value instanceof byte[] bytes ? Arrays.toString(bytes) : String.valueOf(value);
    }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement statement = c.createStatement()) {
            statement.execute(sql);
        }
    }

    static Object value(Connection c, String sql) throws SQLException {
        try (Statement statement = c.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            return rows.next() ? rows.getObject(1) : null;
        }
    }

    static void fresh(Connection c, String name, String columns) throws SQLException {
        run(c, "DROP TABLE IF EXISTS " + name);
        run(c, "CREATE TABLE " + name + " (" + columns + ")");
    }

    static PSQLException failure(Connection c, String sql) throws SQLException {
        try {
            run(c, sql);
        } catch (PSQLException error) {
            return error;
        }
        throw new AssertionError("no error: " + sql);
    }

    interface Getter {
        Object get(ResultSet rows) throws SQLException;
    }

    /** Values go in as parameters, are stored, come back, and are found. */
    static void type(String type, Getter getter, Object... values) {
        for (boolean binary : new boolean[] {false, true}) {
            CHECKS.add(new Named(type + " in " + (binary ? "binary" : "text"), binary, c -> {
                fresh(c, "jdbc_types", "id int PRIMARY KEY, v " + type);
                try (PreparedStatement insert = c.prepareStatement("INSERT INTO jdbc_types VALUES (?, ?)")) {
                    for (int i = 0; i <= values.length; i++) {
                        insert.setInt(1, i);
                        if (i == values.length) insert.setNull(2, Types.NULL);
                        else if (type.startsWith("json")) insert.setObject(2, values[i], Types.OTHER);
                        else insert.setObject(2, values[i]);
                        equal(insert.executeUpdate(), 1);
                    }
                }
                // Twice: the second run uses the prepared statement's own formats.
                for (int turn = 0; turn < 2; turn++) {
                    try (PreparedStatement select = c.prepareStatement("SELECT v FROM jdbc_types WHERE id >= ? ORDER BY id")) {
                        select.setInt(1, 0);
                        try (ResultSet rows = select.executeQuery()) {
                            for (Object expected : values) {
                                rows.next();
                                equal(getter.get(rows), expected);
                            }
                            rows.next();
                            rows.getObject(1);
                            equal(rows.wasNull(), true);
                            equal(rows.next(), false);
                        }
                    }
                }
            }));
        }
    }

    static Getter as(Class<?> kind) {
        return rows -> rows.getObject(1, kind);
    }

    static void types() {
        type("int2", rows -> rows.getShort(1), (short) 0, Short.MAX_VALUE, Short.MIN_VALUE);
        type("int4", as(Integer.class), 0, Integer.MAX_VALUE, Integer.MIN_VALUE);
        type("int8", as(Long.class), 0L, Long.MAX_VALUE, Long.MIN_VALUE);
        type("float4", as(Float.class), 0.5f, -1e30f, Float.NEGATIVE_INFINITY);
        type("float8", as(Double.class), 0.1, -1e300, Double.POSITIVE_INFINITY);
        type("numeric", as(BigDecimal.class), new BigDecimal("0"), new BigDecimal("12345678901234567890.123456789"), new BigDecimal("-0.001"));
        type("numeric(8,2)", as(BigDecimal.class), new BigDecimal("1.50"), new BigDecimal("-999999.99"));
        type("text", as(String.class), "", "ünï 日本 🙂", "x".repeat(100_000));
        type("varchar(9)", as(String.class), "", "abc");
        type("char(4)", as(String.class), "ab  ");
        type("bool", as(Boolean.class), true, false);
        type("date", as(LocalDate.class), LocalDate.of(1, 1, 1), LocalDate.of(2024, 2, 29), LocalDate.of(9999, 12, 31));
        type("time", as(LocalTime.class), LocalTime.of(0, 0), LocalTime.of(23, 59, 59, 999_999_000));
        type("timestamp", as(LocalDateTime.class), LocalDateTime.of(1900, 1, 1, 1, 1), LocalDateTime.of(2024, 2, 29, 12, 34, 56, 789_012_000));
        type("timestamptz", as(OffsetDateTime.class), OffsetDateTime.of(2024, 2, 29, 12, 34, 56, 789_012_000, ZoneOffset.UTC));
        type("uuid", as(UUID.class), new UUID(0, 7), UUID.fromString("01234567-89ab-4cde-8f01-23456789abcd"));
        type("bytea", rows -> rows.getBytes(1), new byte[0], new byte[] {0, -1, 39, 92});
        type("json", rows -> rows.getString(1), "{\"a\": [1, null]}");
        type("jsonb", rows -> rows.getString(1), "{\"a\": [1, null]}");
    }

    static void statements() {
        check("arrays as parameters and results", c -> {
            try (PreparedStatement select = c.prepareStatement("SELECT g FROM generate_series(1, 10) g WHERE g = ANY (?) ORDER BY g")) {
                Array wanted = c.createArrayOf("int4", new Integer[] {2, 5, 99});
                select.setArray(1, wanted);
                try (ResultSet rows = select.executeQuery()) {
                    rows.next();
                    equal(rows.getInt(1), 2);
                    rows.next();
                    equal(rows.getInt(1), 5);
                    equal(rows.next(), false);
                }
            }
            try (Statement statement = c.createStatement(); ResultSet rows = statement.executeQuery("SELECT ARRAY['a', NULL, 'b c']")) {
                rows.next();
                equal(rows.getArray(1).getArray(), new String[] {"a", null, "b c"});
            }
        });
        check("a statement prepared on the server, many times", c -> {
            fresh(c, "jdbc_p", "id int PRIMARY KEY, v text, n numeric(8,2)");
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO jdbc_p VALUES (?, ?, ?)")) {
                for (int i = 0; i < 50; i++) {
                    insert.setInt(1, i);
                    insert.setString(2, "v" + i);
                    insert.setBigDecimal(3, BigDecimal.valueOf(i));
                    equal(insert.executeUpdate(), 1);
                }
                equal(insert.getParameterMetaData().getParameterTypeName(3), "numeric");
            }
            try (PreparedStatement select = c.prepareStatement("SELECT v, n FROM jdbc_p WHERE id = ?")) {
                equal(select.getMetaData().getColumnTypeName(2), "numeric");
                equal(select.getMetaData().getScale(2), 2);
                for (int i = 0; i < 50; i++) {
                    select.setInt(1, i);
                    try (ResultSet rows = select.executeQuery()) {
                        rows.next();
                        equal(rows.getString(1), "v" + i);
                        equal(rows.getBigDecimal(2), new BigDecimal(i + ".00"));
                    }
                }
            }
        });
        check("batches: many statements in one round trip", c -> {
            fresh(c, "jdbc_b", "id int PRIMARY KEY");
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO jdbc_b VALUES (?)")) {
                for (int i = 0; i < 1000; i++) {
                    insert.setInt(1, i);
                    insert.addBatch();
                }
                int[] counts = insert.executeBatch();
                equal(counts.length, 1000);
                equal(counts[999], 1);
                insert.setInt(1, 2000);
                insert.addBatch();
                insert.setInt(1, 7);
                insert.addBatch();
                try {
                    insert.executeBatch();
                    throw new AssertionError("no error");
                } catch (BatchUpdateException error) {
                    equal(error.getSQLState(), "23505");
                }
            }
            equal(value(c, "SELECT count(*) FROM jdbc_b"), 1000L);
        });
        check("several statements, several results", c -> {
            try (Statement statement = c.createStatement()) {
                equal(statement.execute("SELECT 1; SELECT 2"), true);
                statement.getResultSet().next();
                equal(statement.getMoreResults(), true);
                statement.getResultSet().next();
                equal(statement.getResultSet().getInt(1), 2);
            }
        });
        check("generated keys", c -> {
            fresh(c, "jdbc_g", "id serial PRIMARY KEY, v text");
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO jdbc_g (v) VALUES (?), (?)", Statement.RETURN_GENERATED_KEYS)) {
                insert.setString(1, "a");
                insert.setString(2, "b");
                equal(insert.executeUpdate(), 2);
                ResultSet keys = insert.getGeneratedKeys();
                keys.next();
                equal(keys.getInt("id"), 1);
                keys.next();
                equal(keys.getInt("id"), 2);
            }
        });
        check("a fetch size: portals with row limits", c -> {
            c.setAutoCommit(false);
            try (Statement statement = c.createStatement()) {
                statement.setFetchSize(70);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT g FROM generate_series(1, 1000) g")) {
                    while (rows.next()) sum += rows.getLong(1);
                }
                equal(sum, 500500L);
                try (ResultSet rows = statement.executeQuery("SELECT g FROM generate_series(1, 1000) g")) {
                    rows.next();
                }
            }
            c.commit();
            equal(value(c, "SELECT 1"), 1);
        });
    }

    static void transactions() {
        check("transactions, savepoints, isolation", c -> {
            fresh(c, "jdbc_t", "id int PRIMARY KEY");
            c.setAutoCommit(false);
            run(c, "INSERT INTO jdbc_t VALUES (1)");
            Savepoint savepoint = c.setSavepoint("nested");
            equal(failure(c, "INSERT INTO jdbc_t VALUES (1)").getSQLState(), "23505");
            equal(failure(c, "SELECT 1").getSQLState(), "25P02");
            c.rollback(savepoint);
            run(c, "INSERT INTO jdbc_t VALUES (2)");
            c.commit();
            run(c, "INSERT INTO jdbc_t VALUES (3)");
            c.rollback();
            equal(value(c, "SELECT count(*) FROM jdbc_t"), 2L);
            c.commit();
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            equal(value(c, "SHOW transaction_isolation"), "serializable");
            c.commit();
            c.setReadOnly(true);
            equal(failure(c, "DELETE FROM jdbc_t").getSQLState(), "25006");
            c.rollback();
        });
        check("COPY in and out", c -> {
            fresh(c, "jdbc_c", "id int PRIMARY KEY, v text");
            var copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i < 5000; i++) lines.append(i).append("\tvalue ").append(i).append('\n');
            equal(copy.copyIn("COPY jdbc_c FROM STDIN", new StringReader(lines.toString())), 5000L);
            StringWriter out = new StringWriter();
            copy.copyOut("COPY (SELECT * FROM jdbc_c WHERE id < 2 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)", out);
            equal(out.toString(), "id,v\n0,value 0\n1,value 1\n");
            try {
                copy.copyIn("COPY jdbc_c FROM STDIN", new StringReader("x\ty\n"));
                throw new AssertionError("no error");
            } catch (PSQLException error) {
                equal(error.getSQLState(), "22P02");
            }
            equal(value(c, "SELECT count(*) FROM jdbc_c"), 5000L);
        });
        check("errors carry their fields", c -> {
            fresh(c, "jdbc_e", "id int PRIMARY KEY, n int NOT NULL CHECK (n > 0)");
            run(c, "INSERT INTO jdbc_e VALUES (1, 1)");
            var fields = failure(c, "INSERT INTO jdbc_e VALUES (1, 1)").getServerErrorMessage();
            equal(new Object[] {fields.getSQLState(), fields.getConstraint(), fields.getTable(), fields.getSchema(), fields.getDetail(), fields.getSeverity()},
                new Object[] {"23505", "jdbc_e_pkey", "jdbc_e", "public", "Key (id)=(1) already exists.", "ERROR"});
            equal(failure(c, "INSERT INTO jdbc_e VALUES (2, NULL)").getServerErrorMessage().getColumn(), "n");
            equal(failure(c, "INSERT INTO jdbc_e VALUES (2, -1)").getServerErrorMessage().getConstraint(), "jdbc_e_n_check");
            equal(failure(c, "SELECT nope").getServerErrorMessage().getPosition(), 8);
            equal(failure(c, "SELEC 1").getSQLState(), "42601");
            equal(failure(c, "SELECT 1/0").getSQLState(), "22012");
            equal(value(c, "SELECT 1"), 1);
        });
        check("notices are warnings", c -> {
            try (Statement statement = c.createStatement()) {
                statement.execute("DROP TABLE IF EXISTS jdbc_never");
                equal(statement.getWarnings().getMessage(), "table \"jdbc_never\" does not exist, skipping");
            }
        });
        check("cancelling, and a query's time-out", c -> {
            try (Statement statement = c.createStatement()) {
                Thread canceller = new Thread(() -> {
                    try {
                        Thread.sleep(300);
                        statement.cancel();
                    } catch (Exception error) {
                        throw new RuntimeException(error);
                    }
                });
                canceller.start();
                try {
                    statement.execute("SELECT pg_sleep(20)");
                    throw new AssertionError("it was not cancelled");
                } catch (PSQLException error) {
                    equal(error.getSQLState(), "57014");
                }
                canceller.join();
                statement.setQueryTimeout(1);
                try {
                    statement.execute("SELECT pg_sleep(20)");
                    throw new AssertionError("no time-out");
                } catch (PSQLException error) {
                    equal(error.getSQLState(), "57014");
                }
            }
            equal(value(c, "SELECT 1"), 1);
        });
        check("what the driver knows of the server", c -> {
            equal(c.getMetaData().getDatabaseMajorVersion(), 15);
            equal(c.getMetaData().getDatabaseProductName(), "PostgreSQL");
            equal(c.isValid(5), true);
            equal(c.getSchema(), "public");
        });
    }

    public static void main(String[] arguments) {
        types();
        statements();
        transactions();
        if (arguments.length > 0) CHECKS.removeIf(named -> !named.name.contains(arguments[0]));
        int failed = 0;
        for (Named named : CHECKS) {
            try (Connection connection = connect(named.binary)) {
                named.check.run(connection);
            } catch (Throwable why) {
                failed++;
                System.out.println("    FAILED: jdbc: " + named.name + "\n        " + why);
                Arrays.stream(why.getStackTrace()).filter(f -> f.getClassName().startsWith("Jdbc")).limit(3).forEach(f -> System.out.println("        at line " + f.getLineNumber()));
            }
        }
        System.out.println(CHECKS.size() - failed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
