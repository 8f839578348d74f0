from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.querystring import QueryString

ID = "2026-01-01T00:00:04:000000"
VERSION = "1.38.0"
DESCRIPTION = "rows of the audit can be added, not changed"

REFUSAL = "rows of violation_audit are never changed"
SQLITE_FORWARDS = [
    f"CREATE TRIGGER violation_audit_{verb.lower()} BEFORE {verb} ON violation_audit "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACKWARDS = [f"DROP TRIGGER violation_audit_{verb}" for verb in ("update", "delete")]
POSTGRES_FORWARDS = [
    "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql "
    f"AS $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    "CREATE TRIGGER violation_audit_change BEFORE UPDATE OR DELETE OR TRUNCATE ON violation_audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
]
POSTGRES_BACKWARDS = [
    "DROP TRIGGER violation_audit_change ON violation_audit",
    "DROP FUNCTION refuse_audit_change",
]


async def run(statements: dict[str, list[str]]) -> None:
    engine = engine_finder()
    assert engine is not None
    for statement in statements[engine.engine_type]:
        await engine.run_querystring(QueryString(statement))


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="gateway", description=DESCRIPTION)

    async def refuse_changes() -> None:
        await run({"sqlite": SQLITE_FORWARDS, "postgres": POSTGRES_FORWARDS})

    async def allow_changes() -> None:
        await run({"sqlite": SQLITE_BACKWARDS, "postgres": POSTGRES_BACKWARDS})

    manager.add_raw(refuse_changes)
    manager.add_raw_backwards(allow_changes)
    return manager
