"""Where Piccolo looks for the database (`PICCOLO_CONF=gateway.store.piccolo_conf`).

`gateway.store.migrate` sets `DB`. Piccolo's own command line, which writes new migrations
(`piccolo migrations new gateway --auto`), compares tables with migrations alone and gets an empty database in memory.
"""

from typing import Any

from piccolo.conf.apps import AppRegistry
from piccolo.engine.base import Engine
from piccolo.engine.sqlite import SQLiteEngine

DB: Engine[Any] = SQLiteEngine(path=":memory:")

APP_REGISTRY = AppRegistry(apps=["gateway.store.piccolo_app"])
