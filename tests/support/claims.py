"""Time passes for who holds a right to send: by the gateway's clock on SQLite, by the server's on PostgreSQL."""

from piccolo.querystring import QueryString

from gateway.store.piccolo_store import PiccoloStore
from tests.support.set_clock import SetClock

_EARLIER = "UPDATE {} SET held_until = held_until - interval '1 second' * {}"


async def let_pass(store: PiccoloStore, clock: SetClock, seconds: float) -> None:
    """Let claims be so much older. The server's clock isn't set: what is held ends earlier instead."""
    clock.pass_by(seconds)
    if store.engine.engine_type == "postgres":
        for table in ("outbox_cursor", "webhook"):
            await store.engine.run_querystring(QueryString(_EARLIER.replace("{}", table, 1), seconds))
