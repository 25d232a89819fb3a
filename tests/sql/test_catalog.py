"""The catalog: everything carries a comment with its meaning, and has the names and types that were promised."""

from __future__ import annotations

OURS = """
    n.nspname IN ('public', 'engine')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS x
        WHERE x.classid = '{catalog}'::regclass AND x.objid = o.oid AND x.deptype = 'e'
    )
"""
RELATIONS = (
    "SELECT n.nspname || '.' || o.relname FROM pg_class AS o JOIN pg_namespace AS n ON n.oid = o.relnamespace "
    f"WHERE {OURS.format(catalog='pg_class')} AND o.relkind IN ('r', 'v', 'm', 'p', 'f')"
)


def silent(connection, query: str) -> list[str]:
    return [name for (name,) in connection.execute(query)]


def test_every_relation_has_a_comment(connection):
    assert not silent(connection, f"{RELATIONS} AND obj_description(o.oid, 'pg_class') IS NULL")
    assert len(silent(connection, RELATIONS)) >= 13


def test_every_column_has_a_comment(connection):
    query = (
        "SELECT n.nspname || '.' || o.relname || '.' || a.attname FROM pg_class AS o "
        "JOIN pg_namespace AS n ON n.oid = o.relnamespace JOIN pg_attribute AS a ON a.attrelid = o.oid "
        f"WHERE {OURS.format(catalog='pg_class')} AND o.relkind IN ('r', 'v', 'm', 'p', 'f') "
        "AND a.attnum > 0 AND NOT a.attisdropped AND col_description(o.oid, a.attnum) IS NULL"
    )
    assert not silent(connection, query)


def test_every_function_has_a_comment(connection):
    query = (
        "SELECT o.oid::regprocedure::text FROM pg_proc AS o JOIN pg_namespace AS n ON n.oid = o.pronamespace "
        f"WHERE {OURS.format(catalog='pg_proc')} AND obj_description(o.oid, 'pg_proc') IS NULL "
        # A range type brings its constructors along.
        "AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = 'pg_proc'::regclass AND x.objid = o.oid "
        "AND x.refclassid = 'pg_type'::regclass AND x.deptype = 'i')"
    )
    assert not silent(connection, query)


def test_every_schema_of_ours_has_a_comment(connection):
    assert connection.execute("SELECT obj_description('engine'::regnamespace, 'pg_namespace')").fetchone()[0]


METER_ROLLUP = "bucket meter_id readings_count total_kwh_consumed_ac min_voltage max_voltage avg_voltage"
VEHICLE_ROLLUP = (
    "bucket vehicle_id readings_count total_kwh_delivered_dc min_soc max_soc avg_soc "
    "min_battery_temp max_battery_temp avg_battery_temp"
)
PUBLIC_COLUMNS = {
    "meter_telemetry_history": "meter_id ts kwh_consumed_ac voltage ingested_at",
    "vehicle_telemetry_history": "vehicle_id ts soc kwh_delivered_dc battery_temp ingested_at",
    "meter_telemetry_15min": METER_ROLLUP,
    "vehicle_telemetry_15min": VEHICLE_ROLLUP,
    "meter_telemetry_hourly": METER_ROLLUP,
    "meter_telemetry_daily": METER_ROLLUP,
    "vehicle_telemetry_hourly": VEHICLE_ROLLUP,
    "vehicle_telemetry_daily": VEHICLE_ROLLUP,
    "meter_current_status": "meter_id kwh_consumed_ac voltage last_reading_at daily_kwh_consumed_ac vehicle_id status",
    "vehicle_current_status": "vehicle_id soc kwh_delivered_dc battery_temp last_reading_at daily_kwh_delivered_dc "
    "meter_id charging_state battery_temp_warning battery_temp_critical",
    "voided_reading": "stream device_id ts kwh voltage soc battery_temp ingested_at voided_at voided_by",
    "device_mapping": "meter_id vehicle_id valid_from valid_to",
}


def test_every_relation_has_the_columns_that_were_promised(connection):
    for relation, promised in PUBLIC_COLUMNS.items():
        columns = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [f"public.{relation}"],
        )
        assert {name for (name,) in columns} >= set(promised.split()), relation


def test_energies_are_exact_decimals(connection):
    types = connection.execute(
        "SELECT attrelid::regclass::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid IN ('meter_telemetry_history'::regclass, 'vehicle_telemetry_history'::regclass) "
        "AND attname LIKE 'kwh%' ORDER BY 1"
    ).fetchall()
    assert types == [("meter_telemetry_history", "numeric(12,4)"), ("vehicle_telemetry_history", "numeric(12,4)")]


def test_history_is_unique_by_device_and_time(connection):
    for stream in ("meter", "vehicle"):
        (definition,) = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
            [f"public.{stream}_telemetry_history"],
        ).fetchone()
        assert definition == f"PRIMARY KEY ({stream}_id, ts)"


def test_no_time_that_analysts_read_is_infinite(connection):
    """Client libraries without infinite times could not read it."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    assert connection.execute("SELECT valid_from, valid_to FROM device_mapping").fetchall() == [(None, None)]
    columns = connection.execute(
        "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p') "
        "AND a.atttypid = 'timestamptz'::regtype AND a.attnum > 0 AND NOT a.attisdropped "
        "AND has_table_privilege('analyst', c.oid, 'SELECT')"
    ).fetchall()
    assert len(columns) >= 10
    for relation, column in columns:
        query = f"SELECT count(*) FROM public.{relation} WHERE NOT isfinite({column})"
        assert connection.execute(query).fetchone() == (0,), (relation, column)
