"""What a database holds, as sets that can be compared: extensions' own objects are left out."""

from __future__ import annotations

import psycopg
from psycopg import Connection

NOT_OF_AN_EXTENSION = """NOT EXISTS (
    SELECT FROM pg_depend AS d WHERE d.classid = '{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e'
)"""
NOT_BUILT_IN = """n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'"""
OURS = "n.nspname IN ('public', 'engine')"

RELATIONS = f"""SELECT n.nspname || '.' || o.relname FROM pg_class AS o JOIN pg_namespace AS n ON n.oid = o.relnamespace
    WHERE {{scope}} AND o.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    AND {NOT_OF_AN_EXTENSION.format(catalog="pg_class")}"""
FUNCTIONS = f"""SELECT n.nspname || '.' || o.proname || '(' || pg_get_function_arguments(o.oid) || ') '
    || o.prokind::text || ' ' || coalesce(pg_get_function_result(o.oid), '')
    FROM pg_proc AS o JOIN pg_namespace AS n ON n.oid = o.pronamespace
    WHERE {{scope}} AND {NOT_OF_AN_EXTENSION.format(catalog="pg_proc")}"""
TYPES = f"""SELECT n.nspname || '.' || o.typname FROM pg_type AS o JOIN pg_namespace AS n ON n.oid = o.typnamespace
    WHERE {{scope}} AND {NOT_OF_AN_EXTENSION.format(catalog="pg_type")}"""
SCHEMAS = f"""SELECT o.nspname FROM pg_namespace AS o WHERE o.nspname NOT LIKE 'pg\\_%'
    AND {NOT_OF_AN_EXTENSION.format(catalog="pg_namespace")}"""
COLUMNS = f"""SELECT n.nspname || '.' || o.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    FROM pg_class AS o JOIN pg_namespace AS n ON n.oid = o.relnamespace JOIN pg_attribute AS a ON a.attrelid = o.oid
    WHERE {{scope}} AND o.relkind IN ('r', 'v', 'm', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    AND {NOT_OF_AN_EXTENSION.format(catalog="pg_class")}"""
COMMENTS = f"""SELECT n.nspname || '.' || o.relname || coalesce('.' || a.attname, '') || ': ' || d.description
    FROM pg_class AS o JOIN pg_namespace AS n ON n.oid = o.relnamespace
    JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = o.oid
    LEFT JOIN pg_attribute AS a ON a.attrelid = o.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE {{scope}} AND {NOT_OF_AN_EXTENSION.format(catalog="pg_class")}
    UNION ALL
    SELECT n.nspname || '.' || o.proname || ': ' || d.description
    FROM pg_proc AS o JOIN pg_namespace AS n ON n.oid = o.pronamespace
    JOIN pg_description AS d ON d.classoid = 'pg_proc'::regclass AND d.objoid = o.oid
    WHERE {{scope}} AND {NOT_OF_AN_EXTENSION.format(catalog="pg_proc")}"""


def held(connection: Connection, query: str, scope: str = OURS) -> set[str]:
    """Return what a query above finds in a scope."""
    return {name for (name,) in connection.execute(query.format(scope=scope))}


def everything(url: str) -> dict[str, set[str]]:
    """Return all that a database holds beside what is built in."""
    with psycopg.connect(url, autocommit=True) as connection:
        queries = {
            "relations": RELATIONS,
            "functions": FUNCTIONS,
            "types": TYPES,
            "schemas": SCHEMAS,
            "columns": COLUMNS,
        }
        return {name: held(connection, query, NOT_BUILT_IN) for name, query in queries.items()}
