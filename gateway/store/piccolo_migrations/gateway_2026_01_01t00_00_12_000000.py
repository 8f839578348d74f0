from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.querystring import QueryString

ID = "2026-01-01T00:00:12:000000"
VERSION = "1.38.0"
DESCRIPTION = "violations that may go on are found by their camera"


async def run(statement: str) -> None:
    engine = engine_finder()
    assert engine is not None
    await engine.run_querystring(QueryString(statement))


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="gateway", description=DESCRIPTION)

    async def add_index() -> None:
        await run("CREATE INDEX violation_unfinished ON violation (camera_id) WHERE ended_at IS NULL OR cut_off")

    async def drop_index() -> None:
        await run("DROP INDEX violation_unfinished")

    manager.add_raw(add_index)
    manager.add_raw_backwards(drop_index)
    return manager
