from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Text
from piccolo.columns.column_types import Varchar
from piccolo.columns.indexes import IndexMethod

ID = "2026-01-01T00:00:21:000000"
VERSION = "1.38.0"
FITS = "2026-01-01T00:00:20:000000"
DESCRIPTION = "where evidence lies that is noted as deleted, until it is"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="gateway", description=DESCRIPTION)

    manager.add_table(class_name="DisposalRow", tablename="evidence_disposal", schema=None, columns=None)

    manager.add_column(
        table_class_name="DisposalRow",
        tablename="evidence_disposal",
        column_name="violation_id",
        db_column_name="violation_id",
        column_class_name="Varchar",
        column_class=Varchar,
        params={
            "length": 64,
            "default": "",
            "null": False,
            "primary_key": True,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.add_column(
        table_class_name="DisposalRow",
        tablename="evidence_disposal",
        column_name="places",
        db_column_name="places",
        column_class_name="Text",
        column_class=Text,
        params={
            "default": "[]",
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
