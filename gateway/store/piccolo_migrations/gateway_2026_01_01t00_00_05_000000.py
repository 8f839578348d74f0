from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import DoublePrecision
from piccolo.columns.indexes import IndexMethod

ID = "2026-01-01T00:00:05:000000"
VERSION = "1.38.0"
DESCRIPTION = "what a camera's clips show"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="gateway", description=DESCRIPTION)
    for column in ("clip_before_s", "clip_after_s"):
        manager.add_column(
            table_class_name="CameraRow",
            tablename="camera",
            column_name=column,
            db_column_name=column,
            column_class_name="DoublePrecision",
            column_class=DoublePrecision,
            params={
                "default": 5.0,
                "null": False,
                "primary_key": False,
                "unique": False,
                "index": False,
                "index_method": IndexMethod.btree,
                "choices": None,
                "db_column_name": None,
                "secret": False,
            },
            schema=None,
        )
    return manager
