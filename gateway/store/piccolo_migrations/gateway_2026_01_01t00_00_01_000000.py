from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table, create_table_class

ID = "2026-01-01T00:00:01:000000"
VERSION = "1.38.0"
DESCRIPTION = "a camera's newest violations by one index"

COLUMNS = ["camera_id", "id"]


def violation_table() -> type[Table]:
    return create_table_class("ViolationRow", class_kwargs={"tablename": "violation"})


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="gateway", description=DESCRIPTION)

    async def create_index() -> None:
        await violation_table().create_index(COLUMNS)

    async def drop_index() -> None:
        await violation_table().drop_index(COLUMNS)

    manager.add_raw(create_index)
    manager.add_raw_backwards(drop_index)
    return manager
