#!/usr/bin/env python3
"""Records how PostgreSQL 15 reads, writes, casts and computes with values of every type.

Starts a throw-away server, asks it, and writes the tables that the unit tests of core/src/types
compare with: core/src/types/testdata/*.txt. Needs the PostgreSQL 15 binaries (PGBIN, default
/usr/lib/postgresql/15/bin); as root it runs them as the user postgres.

    tests/record/record_types.py
"""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "core/src/types/testdata"
BIN = os.environ.get("PGBIN", "/usr/lib/postgresql/15/bin")
PORT = os.environ.get("PGPORT", "5571")
TIME_ZONE = "America/New_York"

# type -> inputs; what comes back is the text form, the binary form, or the error.
INPUTS = {
    "boolean": ["t", "true", "TRUE", " y ", "yes", "on", "1", "f", "fal", "n", "no", "off", "of", "0",
                "o", "", "2", "tru e", "truee", "null"],
    "smallint": ["0", "-32768", "32767", "32768", "-32769", " 12 ", "+5", "1.5", "", "x", "1 2", "- 1",
                 "99999999999999999999", "0x10", "00012"],
    "integer": ["0", "-2147483648", "2147483647", "2147483648", "  42\t", "+7", "1e3", "", "-", "abc",
                "99999999999999999999", "12a"],
    "bigint": ["0", "-9223372036854775808", "9223372036854775807", "9223372036854775808", " 8 ", "x",
               "-9223372036854775809", ""],
    "real": ["0", "-0", "1", "1.5", "0.1", "1e6", "999999", "1000000", "1234567", "123456.7", "1e-4",
             "0.0001", "0.00001", "3.4028235e38", "3.5e38", "1e-45", "1e-46", "nan", "Infinity", "-inf",
             "+inf", "1e", "x", "", " 2.5 ", "16777217", "1e20", "0.3333333333", "1.17549435e-38", "5.", "33554432", "67108864", "8388608", "8388609", "1e10", "9e9", "4294967296", "8589934592", "1e9", "3e10", "2.1e9", "8.5e15", "1.6e13"],
    "double precision": ["0", "-0", "1", "1.5", "0.1", "0.3", "100000", "1e14", "123456789012345",
             "999999999999999", "1e15", "1234567890123456", "1e20", "1e-4", "1e-5", "0.00001234",
             "1.7976931348623157e308", "1.8e308", "5e-324", "1e-324", "4.9406564584124654e-324",
             "2.2250738585072014e-308", "NaN", "nan", "inf", "-Infinity", "+Infinity", " 1.0 ", "1.",
             ".5", ".", "e5", "1e+5", "1E5", "--1", "1_000", "", "infinit", "3.141592653589793",
             "9007199254740993", "123456789.123456789", "-1e-7", "1e22", "1e23", "5.684341886080802e-14", "5e22", "1.8014398509481984e16", "9007199254740992", "4611686018427387904", "9223372036854775808", "1.8446744073709552e19", "3.6893488147419103e19", "7e22", "2e23", "4.5e22", "4503599627370496.5",
             "8.41e+21", "2.0919495182368195e+19", "9.5367431640625e-07"],
    "numeric": ["0", "0.0", "-0", "-0.00", "1", "1.50", "-1.5", "1e3", "1e-3", "1.5e2", "1.5e-2", "1E+5",
             "  12.30  ", "00012.300", ".5", "5.", ".", "", "x", "1e", "1e+", "1.2.3", "1 2", "--1",
             "123456789012345678901234567890.123456789", "9999", "10000", "99999999", "100000000",
             "0.0001", "0.00001", "0.00010000", "12345.6789", "-12345.6789", "1e20", "1e40", "1e-20",
             "10000.0001", "0.1234", "0.12345", "1e200000", "1e131071", "1e2147483647", "1e99999999999",
             "+3.14", "1_000", "nanx", "infx"],
    "numeric(5,2)": ["0", "1", "123.456", "123.455", "-123.455", "999.99", "999.994", "999.995", "1000",
             "-999.999", "1e2", "1e3", "0.005", "0.004", "-0.005", "x"],
    "numeric(3,3)": ["0.1234", "0.9995", "1", "0.9994"],
    "numeric(4)": ["1.5", "2.5", "-2.5", "9999.4", "9999.5"],
    "text": ["", "a", " a b ", "été", "日本語", "tab\there", "line\nbreak", "back\\slash", "'quote'", "\U0001f600"],
    "character varying": ["", "abc ", "日本語"],
    "character varying(3)": ["", "abc", "abcd", "abc  ", "ab  ", "日本語", "日本語x", "    "],
    "character(3)": ["", "a", "abc", "abcd", "abc  ", "日本", "    ", " x"],
    "character": ["", "a", "ab"],
    "name": ["", "x", "x" * 63, "x" * 64, "é" * 40],
    '"char"': ["", "a", "ab", "é", "\\101", "\\377", "\\"],
    "bytea": ["", "\\x", "\\x00ff", "\\xDEADbeef", "\\x 0 1 02", "\\x01 02", "\\x1", "\\xzz", "abc",
              "a\\\\b", "\\000\\377", "\\400", "\\1", "\\", "é"],
    "date": ["2001-02-03", "2001-2-3", "20010203", "010203", "02/03/2001", "2/3/01", "02/03/69", "02/03/70",
             "Feb 3, 2001", "3 Feb 2001", "February 3 2001", "2001-Feb-03", "3-feb-2001", "feb-3-2001",
             "2001 Feb 3", "2001.034", "2001-034", "J2451944", "j2451944", "epoch", "infinity", "-infinity",
             "Infinity", "0001-01-01", "0001-01-01 BC", "4714-11-24 BC", "4714-11-23 BC", "5874897-12-31",
             "5874898-01-01", "10000-01-01", "12345-06-07", "2001-13-01", "2001-00-01", "2001-02-29",
             "2000-02-29", "1900-02-29", "2001-02-30", "2001-01-32", "13/13/2001", "0000-01-01", "99-01-01",
             "2001-02-03 04:05:06", "2001-02-03T04:05:06", "2001-02-03 04:05:06+02", "x", "", "2001", "2001-02",
             "Sat Feb 3 2001", "2001-02-03 BC", "03 feb 01", "y2001m02d03", "2001-02-03 junk", "1 2 3", "99/99/99",
             "allballs", "noon", "2001-02-03 24:00:00", "2001-02-03 25:00:00", "2001-02-03 AD", "20010203T040506",
             "2001/02/03", "2001.02.03", "03.02.2001", "1/8/1999", "1/18/1999", "18/1/1999", "01-08-1999",
             "January 8, 1999", "Jan-08-99", "08-Jan-99", "99-Jan-08", "1999.008", "19990108", "990108",
             "J0", "J2147483647", "-2001-01-01", "2001-02-03-04", "May 5 0050"],
    "time without time zone": ["04:05", "04:05:06", "04:05:06.7", "04:05:06.789", "04:05:06.1234567",
             "04:05:06.12345678", "040506", "0405", "040506.789", "04:05 AM", "04:05 PM", "12:00 AM", "12:00 PM",
             "13:00 PM", "00:30 pm", "24:00:00", "24:00:00.01", "24:01", "23:59:60", "23:59:59.9999999", "25:00",
             "12:60", "12:00:61", "allballs", "04:05:06+02", "04:05:06-08", "04:05:06 PST", "04:05:06Z", "x", "",
             "2001-02-03 04:05:06", "2001-02-03T04:05:06", "T04:05:06", "T040506", "4", "4:5", "4:5:6", "1:2:3.4",
             "04:05:06 America/New_York", "2003-04-12 04:05:06 America/New_York", "infinity", "epoch", "12:34.5",
             "00:00:00", "00:00:00.000001", "now now"],
    "time(0) without time zone": ["04:05:06.5", "04:05:06.49", "23:59:59.9"],
    "time(3) without time zone": ["04:05:06.7896", "04:05:06.7894"],
    "timestamp without time zone": ["2001-02-03 04:05:06", "2001-02-03 04:05:06.789", "2001-02-03T04:05:06",
             "2001-02-03", "2001-02-03 04:05", "20010203T040506", "20010203 040506", "20010203040506",
             "2001-02-03 04:05:06+02", "2001-02-03 04:05:06 PST", "2001-02-03 04:05:06 BC", "epoch", "infinity",
             "-infinity", "allballs", "2001-02-03 allballs", "Feb 3 04:05:06 2001", "Sat Feb 03 04:05:06 2001",
             "Sat Feb 03 04:05:06.789 2001 PST", "3 Feb 2001 04:05:06", "2001-02-03 24:00:00",
             "2001-02-03 24:00:01", "2001-02-03 25:00", "2001-02-03 04:60", "2001-02-03 04:05:60",
             "2001-02-03 4:05 PM", "2001-02-03 04:05:06.1234565", "2001-02-03 04:05:06.9999999",
             "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "4714-11-24 00:00:00 BC",
             "4714-11-23 23:59:59.999999 BC", "10000-01-01 00:00:00", "290000-01-01 00:00:00",
             "300000-01-01 00:00:00", "x", "", "2001-02-30", "2001-02-03 04:05:06 x", "J2451944", "J2451944.5",
             "2001-034 04:05:06", "1999-01-08 04:05:06 -8:00", "January 8 04:05:06 1999 PST",
             "2001-02-03 04:05:06 America/New_York", "2001-02-03 04:05:06 Nowhere/Else", "2001-02-03 T04:05:06",
             "2001-02-03-04:05:06", "04:05:06", "2001-02-03 04:05:06.5.6", "2001-02-03  at 04:05",
             "  2001-02-03   04:05:06  ", "2001-02-03 04:05:06,789", "04:05:06 2001-02-03", "Sat 2001-02-03", "+01 2001-02-03", "04:05:06 Feb 3 2001", "04:05:06 20010203"],
    "timestamp(0) without time zone": ["2001-02-03 04:05:06.5", "2001-02-03 04:05:06.4", "1969-12-31 23:59:59.5"],
    "timestamp(3) without time zone": ["2001-02-03 04:05:06.7895", "1960-01-01 00:00:00.0005"],
    "timestamp with time zone": ["2001-02-03 04:05:06", "2001-02-03 04:05:06+02", "2001-02-03 04:05:06-08",
             "2001-02-03 04:05:06+0530", "2001-02-03 04:05:06+05:30", "2001-02-03 04:05:06+05:30:15",
             "2001-02-03 04:05:06+053015", "2001-02-03 04:05:06Z", "2001-02-03T04:05:06Z", "2001-02-03 04:05:06 UTC",
             "2001-02-03 04:05:06 GMT", "2001-02-03 04:05:06 EST", "2001-02-03 04:05:06 EDT", "2001-07-03 04:05:06 PDT",
             "2001-02-03 04:05:06 Europe/Berlin", "2001-07-03 04:05:06 europe/berlin", "2001-07-03 04:05:06",
             "2001-04-01 02:30:00", "2001-04-01 01:59:59", "2001-04-01 03:00:00", "2001-10-28 01:30:00",
             "2001-10-28 00:59:59", "2001-10-28 02:00:00", "2001-10-28 01:30:00 EDT", "2001-10-28 01:30:00 EST",
             "1883-11-18 12:00:00", "1800-01-01 00:00:00", "1945-08-14 19:00:00", "2050-07-01 12:00:00",
             "2050-01-01 12:00:00", "2500-07-01 00:00:00", "0044-03-15 12:00:00 BC", "epoch", "infinity", "-infinity",
             "2001-02-03", "2001-02-03 04:05:06+16", "2001-02-03 04:05:06+15:59:59", "2001-02-03 04:05:06 Moon/Base",
             "2001-02-03 04:05:06 MSK", "2001-02-03 04:05:06 xyz", "x", "", "2001-02-03 04:05:06.123456+00",
             "2001-02-03 04:05:06 EST5EDT", "2001-02-03 04:05:06 PST8PDT", "20010203T040506+0100",
             "2001-02-03 04:05:06 +1", "2001-02-03 04:05:06 MET DST", "290000-01-01 00:00:00+00",
             "2001-02-03 04:05:06 zulu", "J2451944 04:05:06+1", "20010203T040506-08", "2001-02-03 04:05:06 IST"],
    "timestamp(2) with time zone": ["2001-02-03 04:05:06.789+00"],
    "interval": ["1 day", "1 year 2 months 3 days 04:05:06", "1-2", "-1-2", "1-2 3 4:05:06", "1 2:03:04", "04:05:06",
             "-04:05:06", "4:05", "1.5 days", "1.5 months", "1.5 years", "1.5 weeks", "0.5 hours", "1 week", "2 decades",
             "1 century", "1 millennium", "1 day ago", "1 year -2 days ago", "-1 day", "-1 day 02:03:04", "1 mon -1 day",
             "P1Y2M3DT4H5M6S", "P1Y2M3DT4H5M6.789S", "P0001-02-03T04:05:06", "PT1.5H", "P1W", "P1.5Y", "P-1Y-2M3DT-4H",
             "PT0S", "P", "PT", "P1YT", "1", "1.5", "1000 ms", "1500 us", "1 microsecond", "0.5 second", "1.0000005 sec",
             "@ 1 minute", "1 hour 1 hour", "1 day 1 day", "x", "", "1 foo", "99999999999 days", "2147483647 days",
             "2147483648 days", "1000000000 years", "178956970 years", "178956970 years 8 months", "300:00:00",
             "1 day 25:00:00", "1:2:3.4567891", "1 sec 2 msec 3 usec", "3 4:05:06.7", "1 day 12 hours 59 min 10 sec",
             "+1 day", "1 y 2 mon 3 d 4 h 5 m 6 s", "infinity", "2562047788:00:54.775807", "2562047788:00:54.775808",
             "1.1 mons", "0.1 years", "-0.5 mons", "1 day -01:00:00", "-1 mons +1 day", "6 years ago", "1h2m3s", "P1DT1",
             "1 qtr", "1 quarter", "  5   days ", "1 +2:03", "1 12:60", "0 days", "-1:00", "-0:30"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
             "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
             "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
             "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
             "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "", "x",
             " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11"],
    "json": ["1", " {\"b\": 1, \"a\" : [1,2 , 3]} ", "null", "true", "\"x\"", "[]", "{}", "[1,]", "{\"a\"}", "{\"a\":}",
             "{a:1}", "", " ", "[", "{", "tru", "01", "1.", ".5", "-", "1e5", "1.5E-3", "\"a", "\"\\x\"", "\"\\u12\"",
             "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\ude00\"", "\"tab\there\"", "[1 2]", "{\"a\":1,}",
             "1 2", "'a'", "{\"a\":1 \"b\":2}", "[1}", "nul", "\"\\ud83dx\"", "truefalse", "-1", "+1", "NaN"],
    "jsonb": ["1", " {\"b\": 1, \"a\" : [1,2 , 3]} ", "null", "true", "\"x\"", "[]", "{}", "{\"a\":1,\"a\":2}",
              "{\"bb\":1,\"a\":2,\"c\":3}", "{\"é\":1,\"zz\":2,\"z\":3}", "1.50", "1e3", "1e-3", "-0", "-0.0", "1.5E2", "100e-2",
              "\"\\u00e9\\n\\\"\\\\\\/\\b\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\u001f\"", "[1,]", "{\"a\"}", "", "x",
              "{\"a\": {\"c\": null, \"b\": [true, false]}}", "[[[]]]", "\"\\ud83d\"", "12345678901234567890.123456789",
              "{\"\":1}", "[1, \"a\", {}]"],
    "oid": ["0", "1", "4294967295", "4294967296", "-1", "-2147483648", "-2147483649", " 5 ", "x", "", "1 2"],
    "integer[]": ["{}", "{1}", "{1,2,3}", "{1,NULL,3}", "{ 1 , 2 }", "{null}", "{NuLl}", "{\"1\",2}", "{\"NULL\"}", "{1,}",
              "{,1}", "{1", "1", "", "{a}", "{1}x", "{1} ", " {1}", "[1:2]={1,2}", "{1 2}", "{}}", "{\"1\"2}",
              "{99999999999}"],
    "text[]": ["{}", "{a}", "{a,b c}", "{\"a,b\",\"c\\\"d\"}", "{\"\"}", "{NULL}", "{\"NULL\"}", "{null,\"null\"}", "{ a , b }",
               "{\" a \"}", "{a\\,b}", "{\"a\\\\b\"}", "{a b}", "{\"a\"b}", "{a\"b\"}", "{\\ a}", "{a\\ }", "{\"{\"}", "{a{b}",
               "{é,日本}", "{\"a", "{a\\"],
    "character varying(2)[]": ["{ab,c}", "{abc}", "{\"ab \"}"],
    "numeric(4,1)[]": ["{1.25,2}", "{99999}"],
    "boolean[]": ["{t,f,NULL}", "{true,no}"],
    "double precision[]": ["{1.5,NaN,-Infinity}"],
    "timestamp without time zone[]": ["{\"2001-02-03 04:05:06\",infinity}"],
    "bytea[]": ["{\"\\\\x0102\",\"\\\\\\\\\"}"],
    "uuid[]": ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    "interval[]": ["{1 day,\"1 mon 2:00\"}"],
    "json[]": ["{\"{\\\"a\\\": 1}\",\"[1,2]\",1}"],
    "date[]": ["{2001-02-03}"],
    "int2vector": ["", "1 2 3", " 1  2 "],
    "oidvector": ["", "23 25"],
}

SEND = {
    "boolean": "boolsend", "smallint": "int2send", "integer": "int4send", "bigint": "int8send",
    "real": "float4send", "double precision": "float8send", "numeric": "numeric_send", "text": "textsend",
    "character varying": "varcharsend", "character": "bpcharsend", "name": "namesend", '"char"': "charsend",
    "bytea": "byteasend", "date": "date_send", "time": "time_send", "time without time zone": "time_send",
    "timestamp": "timestamp_send", "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send", "interval": "interval_send", "uuid": "uuid_send",
    "json": "json_send", "jsonb": "jsonb_send", "oid": "oidsend", "int2vector": "int2vectorsend",
    "oidvector": "oidvectorsend",
}

# (from, input, to): explicitly, and assigned to a column.
CASTS = []
for value in ["0", "1", "-1", "40000", "3000000000", "9223372036854775807"]:
    CASTS += [("bigint", value, to) for to in
              ["smallint", "integer", "real", "double precision", "numeric", "numeric(5,2)", "oid", "text",
               "character varying(3)", "boolean"]]
for value in ["0.5", "1.5", "2.5", "-0.5", "-1.5", "-2.5", "32767.4", "32767.5", "-32768.5", "2147483647.5",
              "9.3e18", "9223372036854775807", "-9223372036854775808", "NaN", "Infinity", "1e300", "1e-300", "0.1", "123456.789012345678", "1e15", "1e16"]:
    CASTS += [("double precision", value, to) for to in ["smallint", "integer", "bigint", "real", "text"]]
    if value not in ("NaN", "Infinity", "1e300", "1e-300"):
        CASTS += [("double precision", value, to) for to in ["numeric", "numeric(8,2)"]]
for value in ["0.5", "1.5", "2.5", "-2.5", "1e10", "3e38", "0.1", "16777216", "1234567", "NaN"]:
    CASTS += [("real", value, to) for to in ["smallint", "integer", "bigint", "double precision", "text"]]
    if value != "NaN":
        CASTS.append(("real", value, "numeric"))
for value in ["0.5", "1.5", "2.5", "-0.5", "-2.5", "32767.5", "2147483647.4", "2147483647.5",
              "9223372036854775807.5", "1e30", "1.23456789012345678901", "1e400"]:
    CASTS += [("numeric", value, to) for to in
              ["smallint", "integer", "bigint", "real", "double precision", "numeric(4,2)", "text", "character varying(2)"]]
CASTS += [("integer", v, to) for v in ["0", "1", "65", "-1", "300"] for to in ["boolean", '"char"', "oid", "text", "bytea", "date"]]
CASTS += [("boolean", v, to) for v in ["t", "f"] for to in ["integer", "text", "character varying(2)", "bigint", "character(3)"]]
CASTS += [("text", v, to) for v, to in [
    ("12", "integer"), (" 12 ", "integer"), ("x", "integer"), ("1.5", "integer"), ("t", "boolean"), ("2001-02-03", "date"),
    ("abc", "character varying(2)"), ("ab   ", "character varying(2)"), ("abc", "character(2)"), ("a", "character(3)"),
    ("{1,2}", "integer[]"), ("{\"a\":1}", "jsonb"), ("abc", '"char"'), ("1 day", "interval"), ("x" * 70, "name"),
    ("1.255", "numeric(4,2)"), ("99999", "numeric(4,2)")]]
CASTS += [("character(5)", "ab", to) for to in ["text", "character varying", "character(3)", "character(7)", "name", "integer"]]
CASTS += [("character(5)", "12", "integer")]
CASTS += [("character varying(5)", "abcde", to) for to in ["character varying(3)", "character(3)", "text", "character varying"]]
CASTS += [("timestamp without time zone", v, to) for v in ["2001-02-03 04:05:06.789", "2001-07-03 23:59:59", "infinity", "2001-04-01 02:30:00"]
          for to in ["date", "time without time zone", "timestamp with time zone", "timestamp(0) without time zone", "text", "time(0) without time zone"]]
CASTS += [("timestamp with time zone", v, to) for v in ["2001-02-03 04:05:06.789+00", "2001-07-03 23:59:59+00", "-infinity"]
          for to in ["date", "time without time zone", "timestamp without time zone", "timestamp(0) with time zone", "text"]]
CASTS += [("date", v, to) for v in ["2001-02-03", "2001-07-03", "infinity", "5874897-12-31", "0001-01-01 BC"]
          for to in ["timestamp without time zone", "timestamp with time zone", "text", "integer", "time without time zone"]]
CASTS += [("time without time zone", "04:05:06.789", to) for to in ["interval", "text", "timestamp without time zone", "time(1) without time zone"]]
CASTS += [("interval", v, to) for v in ["1 day 04:05:06", "-01:00:00", "1 mon"] for to in ["time without time zone", "text", "integer"]]
CASTS += [("json", "{\"b\":1, \"a\":2}", to) for to in ["jsonb", "text", "integer"]]
CASTS += [("jsonb", v, to) for v in ["1.5", "true", "\"x\"", "null", "[1]", "{}"] for to in ["integer", "numeric", "boolean", "text", "json", "double precision", "smallint"]]
CASTS += [("oid", v, to) for v in ["1", "4294967295"] for to in ["integer", "bigint", "text", "smallint"]]
CASTS += [("integer[]", "{1,NULL,300000}", to) for to in ["text[]", "bigint[]", "smallint[]", "text", "double precision[]", "boolean[]", "integer"]]
CASTS += [("text[]", "{abc,d}", to) for to in ["character varying(2)[]", "integer[]", "text"]]
CASTS += [("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", to) for to in ["text", "bytea", "integer"]]
CASTS += [("bytea", "\\x6162", to) for to in ["text", "integer"]]
CASTS += [('"char"', "a", to) for to in ["integer", "text", "character(2)", "bigint"]]
CASTS += [("name", "abc", to) for to in ["text", "character varying(2)", "integer", "character(2)"]]
CASTS += [("int2vector", "1 2", "smallint[]"), ("oidvector", "1 2", "oid[]")]

# (operator, left type, left, right type, right)
OPERATIONS = []
INTS = {"smallint": ["32767", "-32768", "7", "-7", "0"], "integer": ["2147483647", "-2147483648", "7", "-7", "0"],
        "bigint": ["9223372036854775807", "-9223372036854775808", "7", "-1", "0"]}
for op in "+-*/%":
    for lt, lv in INTS.items():
        for rt, rv in INTS.items():
            for a, b in zip(lv, rv[1:] + rv[:1]):
                OPERATIONS.append((op, lt, a, rt, b))
        OPERATIONS.append((op, lt, lv[1], lt, "-1"))
        OPERATIONS.append((op, lt, lv[0], lt, "1"))
NUMERICS = ["0", "1", "3", "-3", "10.50", "0.001", "123456789.987654321", "-7.25", "1e10", "99999999999999999999.9", "0.00000000007", "10000", "9999"]
for op in "+-*/%":
    for i, a in enumerate(NUMERICS):
        for b in NUMERICS[i % 3::3]:
            OPERATIONS.append((op, "numeric", a, "numeric", b))
    OPERATIONS += [(op, "integer", "7", "numeric", "2.50"), (op, "numeric", "2.50", "bigint", "3"),
                   (op, "double precision", "1.5", "integer", "2"), (op, "real", "1.5", "integer", "2"),
                   (op, "real", "1.5", "real", "0.1"), (op, "real", "1.5", "double precision", "0.1"),
                   (op, "numeric", "1.5", "double precision", "0.1"), (op, "double precision", "1", "double precision", "0"),
                   (op, "double precision", "1e308", "double precision", "1e308"), (op, "double precision", "1e308", "double precision", "-1e308"),
                   (op, "double precision", "1e-308", "double precision", "1e-308"), (op, "double precision", "1e-308", "double precision", "1e308"),
                   (op, "double precision", "NaN", "double precision", "0"), (op, "double precision", "Infinity", "double precision", "2"),
                   (op, "real", "3e38", "real", "3e38"), (op, "real", "1e-38", "real", "1e-38"), (op, "text", "a", "text", "b"), (op, "boolean", "t", "boolean", "f")]
OPERATIONS += [("||", "text", "a", "text", "b"), ("||", "text", "a", "integer", "1"), ("||", "integer", "1", "integer", "2"),
               ("||", "boolean", "t", "text", "x"), ("||", "character(3)", "a", "text", "b"), ("||", "bytea", "\\x01", "bytea", "\\x02"),
               ("||", "character varying", "a", "character varying", "b"), ("||", "date", "2001-02-03", "text", "!")]
OPERATIONS += [("+", "date", "2001-02-03", "integer", "30"), ("-", "date", "2001-02-03", "integer", "40"), ("+", "integer", "1", "date", "2001-02-03"),
               ("-", "date", "2001-02-03", "date", "2000-02-03"), ("+", "date", "2001-01-31", "interval", "1 mon"),
               ("-", "date", "2001-03-31", "interval", "1 mon 1 day 01:00"), ("+", "interval", "1 day", "date", "2001-02-03"),
               ("+", "timestamp without time zone", "2001-01-31 12:00", "interval", "1 mon 2 days 03:04:05.6"),
               ("-", "timestamp without time zone", "2001-03-31 12:00", "interval", "1 year 1 mon -1 day"),
               ("+", "interval", "1 mon", "timestamp without time zone", "2000-01-31"),
               ("-", "timestamp without time zone", "2001-02-03 04:05:06", "timestamp without time zone", "2000-01-01 12:00:00"),
               ("-", "timestamp with time zone", "2001-02-03 04:05:06", "timestamp with time zone", "2001-07-01 12:00:00"),
               ("-", "timestamp without time zone", "infinity", "timestamp without time zone", "2000-01-01"),
               ("+", "timestamp without time zone", "infinity", "interval", "1 day"), ("-", "timestamp without time zone", "2000-01-01", "date", "1999-12-31"),
               ("+", "date", "2001-02-03", "time without time zone", "04:05:06"), ("+", "time without time zone", "04:05", "date", "2001-02-03"),
               ("+", "time without time zone", "23:00", "interval", "1 day 02:00"), ("-", "time without time zone", "01:00", "interval", "02:00"),
               ("-", "time without time zone", "01:00", "time without time zone", "02:30"), ("+", "interval", "1 mon 1 day", "interval", "2 days 01:00"),
               ("-", "interval", "1 mon", "interval", "2 days"), ("+", "date", "infinity", "integer", "1"), ("+", "date", "5874897-12-31", "integer", "1"),
               ("-", "date", "infinity", "date", "2001-01-01"), ("+", "timestamp without time zone", "4714-11-24 BC", "interval", "-1 day"), ("+", "date", "2001-01-01", "date", "2001-01-01"),
               ("-", "interval", "1 day", "date", "2001-01-01"), ("*", "interval", "1 day", "interval", "1 day"), ("+", "date", "2001-01-01", "bigint", "1")]
for op in ["=", "<>", "<", "<=", ">", ">="]:
    OPERATIONS += [(op, "integer", "1", "bigint", "2"), (op, "numeric", "1.0", "integer", "1"), (op, "double precision", "NaN", "double precision", "NaN"),
                   (op, "double precision", "NaN", "double precision", "Infinity"), (op, "double precision", "-0", "double precision", "0"),
                   (op, "real", "0.1", "double precision", "0.1"), (op, "numeric", "0.1", "double precision", "0.1"), (op, "numeric", "1.50", "numeric", "1.5"),
                   (op, "text", "a", "text", "B"), (op, "text", "a", "character varying", "a"), (op, "character(3)", "a", "character(5)", "a"),
                   (op, "character(3)", "a", "text", "a"), (op, "text", "a ", "character(3)", "a"), (op, "name", "a", "text", "b"),
                   (op, "date", "2001-02-03", "timestamp without time zone", "2001-02-03 00:00:01"), (op, "boolean", "t", "boolean", "f"),
                   (op, "interval", "1 mon", "interval", "30 days"), (op, "interval", "24:00", "interval", "1 day"), (op, "bytea", "\\x01", "bytea", "\\x0100"),
                   (op, "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "uuid", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), (op, "oid", "1", "integer", "1"),
                   (op, "integer[]", "{1,2}", "integer[]", "{1,3}"), (op, "integer[]", "{1}", "integer[]", "{1,NULL}"), (op, "text", "1", "integer", "1"),
                   (op, "boolean", "t", "integer", "1"), (op, "json", "1", "json", "1"), (op, "date", "2001-01-01", "integer", "1"),
                   (op, "time without time zone", "01:00", "interval", "1 hour"), (op, "oid", "1", "bigint", "2")]

NAMED = [("boolean", -1), ("integer", -1), ("character varying(10)", None), ("character(1)", None), ("character", None), ("bpchar", None), ("numeric(10,2)", None),
         ("numeric(7)", None), ("timestamp(3)", None), ("timestamptz(0)", None), ("time(6)", None), ("varchar(5)[]", None), ("numeric(4,1)[]", None),
         ("timestamptz[]", None), ("int2vector", None), ("\"char\"", None), ("\"char\"[]", None), ("name", None), ("regclass", None), ("float", None), ("float(3)", None),
         ("float(30)", None), ("dec(4)", None), ("int", None), ("int8", None), ("_int4", None), ("pg_catalog.int4", None), ("pg_catalog.char", None), ("pg_catalog.bpchar", None),
         ("character varying", None), ("double precision", None), ("timestamp", None), ("timestamp with time zone", None), ("time", None), ("interval", None), ("jsonb[]", None)]


def literal(text):
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def escape(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def base(type_name):
    """The type without its modifier."""
    if type_name.endswith("[]"):
        return "array"
    start = type_name.find("(")
    if start < 0:
        return type_name
    end = type_name.index(")")
    return (type_name[:start] + type_name[end + 1:]).strip()


class Server:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="record_types_")
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(self.dir, pwd.getpwnam("postgres").pw_uid)
            self.user = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", self.dir + "/data", "--locale=C.UTF-8", "--encoding=UTF8", "-A", "trust", "-U", "postgres")
        self.run("pg_ctl", "-D", self.dir + "/data", "-w", "-l", self.dir + "/log",
                 "-o", f"-p {PORT} -k {self.dir} -c listen_addresses='' -c fsync=off", "start")

    def run(self, program, *args, stdin=None):
        done = subprocess.run([*self.user, f"{BIN}/{program}", *args], input=stdin, capture_output=True, cwd="/")
        if done.returncode != 0:
            raise SystemExit(f"{program}: {done.stderr.decode()}")
        return done.stdout.decode()

    def ask(self, queries):
        """One text answer a query: '=value' or '!SQLSTATE message|detail|hint'."""
        script = [
            "SET client_min_messages = error;",
            """CREATE OR REPLACE FUNCTION pg_temp.probe(query text) RETURNS text LANGUAGE plpgsql AS $$
            DECLARE answer text; state text; message text; detail text; hint text;
            BEGIN
                EXECUTE query INTO answer;
                RETURN '=' || coalesce(answer, '<NULL>');
            EXCEPTION WHEN others THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                    detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
                RETURN '!' || state || ' ' || message || '|' || detail || '|' || hint;
            END $$;""",
            f"SET TimeZone = '{TIME_ZONE}';",
        ]
        for query in queries:
            script.append(f"SELECT encode(convert_to(pg_temp.probe({literal(query)}), 'UTF8'), 'hex');")
        out = self.run("psql", "-h", self.dir, "-p", PORT, "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "postgres",
                       stdin="\n".join(script).encode())
        answers = [bytes.fromhex(line).decode() for line in out.split("\n")[:-1]]
        assert len(answers) == len(queries), (len(answers), len(queries))
        return answers

    def do(self, statements):
        self.run("psql", "-h", self.dir, "-p", PORT, "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "postgres",
                 stdin=";\n".join([*statements, ""]).encode())

    def stop(self):
        self.run("pg_ctl", "-D", self.dir + "/data", "-m", "immediate", "stop")
        shutil.rmtree(self.dir, ignore_errors=True)


def write(name, head, rows):
    OUT.mkdir(parents=True, exist_ok=True)
    lines = [f"# {line}" for line in head.split("\n")]
    lines += ["\t".join(escape(field) for field in row) for row in rows]
    (OUT / name).write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(rows)} rows")


def main():
    server = Server()
    note = "Recorded from PostgreSQL 15 by tests/record/record_types.py; do not edit."
    try:
        cases = [(ty, value) for ty, values in INPUTS.items() for value in values]
        text = server.ask([f"SELECT format('%s', {literal(value)}::{ty})" for ty, value in cases])
        send = {ty: "array_send" if base(ty) == "array" else SEND[base(ty)] for ty in INPUTS}
        binary = server.ask([f"SELECT encode({send[ty]}({literal(value)}::{ty}), 'hex')" for ty, value in cases])
        # A literal cast to varchar(n) is cut; what an input function says is what an assignment does.
        fitted = {"character varying(3)", "character(3)", "character", "character varying(2)[]"}
        tables = []
        for ty in sorted(fitted):
            tables.append(f"CREATE TABLE IF NOT EXISTS public.\"t_{ty}\" (c {ty})")
        server.do(tables)
        assigned = server.ask([
            f"INSERT INTO public.\"t_{ty}\" VALUES ({literal(value)}) RETURNING format('%s', c)" if ty in fitted else "SELECT 1"
            for ty, value in cases])
        assigned_binary = server.ask([
            f"INSERT INTO public.\"t_{ty}\" VALUES ({literal(value)}) RETURNING encode({send[ty]}(c), 'hex')" if ty in fitted else "SELECT 1"
            for ty, value in cases])
        rows = []
        for (ty, value), t, b, at, ab in zip(cases, text, binary, assigned, assigned_binary):
            if ty in fitted:
                t, b = at, ab
            rows.append((ty, value, t, b[1:] if t.startswith("=") else ""))
        write("input.txt", f"{note}\nTimeZone {TIME_ZONE}. type, input, =output or !SQLSTATE message|detail|hint, binary form", rows)

        explicit = server.ask([f"SELECT format('%s', ({literal(v)}::{f})::{t})" for f, v, t in CASTS])
        targets = sorted({t for _, _, t in CASTS})
        server.do([f"CREATE TABLE public.\"a_{t.replace(chr(34), '')}\" (c {t})" for t in targets])
        assign = server.ask([f"INSERT INTO public.\"a_{t.replace(chr(34), '')}\" VALUES ({literal(v)}::{f}) RETURNING format('%s', c)" for f, v, t in CASTS])
        write("cast.txt", f"{note}\nTimeZone {TIME_ZONE}. from, input, to, explicit cast, assignment",
              [(f, v, t, e, a) for (f, v, t), e, a in zip(CASTS, explicit, assign)])

        plain = ["boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "character varying",
                 "character", "name", '"char"', "bytea", "date", "time without time zone", "timestamp without time zone",
                 "timestamp with time zone", "interval", "uuid", "json", "jsonb", "oid", "regclass", "regtype", "integer[]", "text[]"]
        pairs = [(f, t) for f in plain for t in plain]
        server.do([f"CREATE FUNCTION public.\"f_{t.replace(chr(34), '')}\"({t}) RETURNS int LANGUAGE sql AS 'SELECT 1'" for t in plain])
        server.do([f"CREATE TABLE public.\"p_{t.replace(chr(34), '')}\" (c {t})" for t in plain])
        can_explicit = server.ask([f"SELECT NULL::{f}::{t}" for f, t in pairs])
        can_assign = server.ask([f"INSERT INTO public.\"p_{t.replace(chr(34), '')}\" VALUES (NULL::{f}) RETURNING 1" for f, t in pairs])
        can_implicit = server.ask([f"SELECT public.\"f_{t.replace(chr(34), '')}\"(NULL::{f})" for f, t in pairs])
        rows = []
        for (f, t), e, a, i in zip(pairs, can_explicit, can_assign, can_implicit):
            rows.append((f, t, "i" if i[0] == "=" else "a" if a[0] == "=" else "e" if e[0] == "=" else "-"))
        write("allowed.txt", f"{note}\nfrom, to, weakest context: i(mplicit) a(ssignment) e(xplicit) - (none)", rows)

        answers = server.ask([f"SELECT pg_typeof(r) || ' ' || format('%s', r) FROM (SELECT {literal(a)}::{lt} {op} {literal(b)}::{rt} AS r) q"
                              for op, lt, a, rt, b in OPERATIONS])
        write("operators.txt", f"{note}\nTimeZone {TIME_ZONE}. operator, left type, left, right type, right, =type value or !SQLSTATE message|detail|hint",
              [(*case, answer) for case, answer in zip(OPERATIONS, answers)])

        facts = server.ask(["SELECT string_agg(concat_ws(' ', oid, typname, typlen, typbyval, typcategory, typalign, typarray, typelem, replace(format_type(oid, NULL), ' ', '_')), '\n' ORDER BY oid) FROM pg_type "
                            "WHERE typnamespace = 'pg_catalog'::regnamespace AND typrelid = 0 AND typtype IN ('b', 'p') AND oid < 10000"])
        write("pg_type.txt", f"{note}\noid typname typlen typbyval typcategory typalign typarray typelem format_type",
              [tuple(line.split(" ")) for line in facts[0][1:].split("\n")])
        server.do([f"CREATE TABLE public.n{i} (c {name})" for i, (name, _) in enumerate(NAMED)])
        shown = server.ask([f"SELECT atttypid::int || ' ' || atttypmod || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.n{i}'::regclass AND attnum = 1" for i in range(len(NAMED))])
        write("names.txt", f"{note}\nSQL type, oid typmod format_type", [(name, answer) for (name, _), answer in zip(NAMED, shown)])
    finally:
        server.stop()


if __name__ == "__main__":
    main()
