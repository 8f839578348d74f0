"""What Piccolo's migration commands need to know of the tables."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from gateway.store.tables import TABLES

APP_CONFIG = AppConfig(
    app_name="gateway",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=list(TABLES),
)
