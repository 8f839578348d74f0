"""Sends an MQTT broker every event, in order and at least once."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import TypeAlias

import aiomqtt
import msgspec

from gateway.delivery.announcer import Announcer
from gateway.delivery.broker import Broker, connected
from gateway.delivery.topics import OFFLINE, ONLINE, Topics
from gateway.domain.event import Event, EventType
from gateway.domain.ports import CursorStore, EventBus, Store
from gateway.ending import until_one_ends
from gateway.errors import DeliveryError, RuthError, StoreError
from gateway.events.follow import follow

CURSOR = "mqtt"
CHECK_S = 5.0

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
GOODBYE_S = 1.0
CANCEL_AGAIN_S = 3 * GOODBYE_S
WINDOW = 20
"""Events that may wait for their acknowledgement; so many, and as many again, may come twice after a crash."""

_Sent: TypeAlias = "asyncio.Queue[tuple[Event, asyncio.Task[None]]]"

_logger = logging.getLogger(__name__)


class MqttSender:
    """Keeps a connection to the broker and sends what is in the outbox; of several replicas one does at a time.

    Args:
        broker: Where to.
        topics: What goes where.
        store: Holds outbox, cameras and violations.
        cursors: How far the sending has come.
        bus: Tells of new events.
        holder: Name of this replica, the same after a restart.
        on_sent: Called when the broker has an event.
        on_failure: Called when a connection fails or breaks.
        check_s: How often the claim to send is renewed, and cameras are looked up that were added, renamed or removed.
        jitter: Gives a number in [0, 1) that a pause is multiplied by ("full jitter").
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        store: Store,
        cursors: CursorStore,
        bus: EventBus,
        *,
        holder: str,
        on_sent: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
        check_s: float = CHECK_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._store = store
        self._cursors = cursors
        self._bus = bus
        self._holder = holder
        self._on_sent = on_sent
        self._on_failure = on_failure
        self._check_s = check_s
        self._jitter = jitter
        self._failures = 0
        self._fault = "the broker hasn't answered yet"

    async def ping(self) -> None:
        """`DeliveryError` while events don't reach the broker; says why."""
        if self._fault:
            raise DeliveryError(self._fault)

    async def run(self) -> None:
        """Send until cancelled, or the bus is closed."""
        try:
            await until_one_ends(self._try_on(), again_s=CANCEL_AGAIN_S)
        finally:
            with contextlib.suppress(StoreError):
                await self._cursors.release(self._holder)

    async def _try_on(self) -> None:
        while not self._bus.closed:
            pause_s = await self._try_once()
            await asyncio.sleep(pause_s)

    async def _try_once(self) -> float:
        """Send as long as all goes well; how long to wait before the next try, in seconds."""
        try:
            cursor = await self._cursors.hold(CURSOR, self._holder)
            if cursor is None:
                self._fault = ""  # another replica sends, and says how that goes
                return self._check_s
            await self._send_from(cursor)
        except RuthError as error:
            self._fault = str(error)
            if isinstance(error, DeliveryError):
                self._on_failure()
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 16)) * self._jitter()
            self._failures += 1
            _logger.warning("no events by MQTT", extra={"reason": str(error), "next_try_s": round(pause_s, 1)})
            return pause_s
        return 0.0

    async def _send_from(self, cursor: int) -> None:
        will = aiomqtt.Will(self._topics.status, OFFLINE, qos=1, retain=True)
        async with connected(self._broker, self._topics.client_id, will, 2 * WINDOW) as client:
            try:
                announcer = Announcer(client, self._topics, self._store)
                await announcer.look_at_cameras()
                await client.publish(self._topics.status, ONLINE, qos=1, retain=True)
                self._fault, self._failures = "", 0
                _logger.info("events are sent by MQTT", extra={"broker": str(self._broker), "after": cursor})
                sent: _Sent = asyncio.Queue(WINDOW)
                await until_one_ends(
                    self._send_events(client, cursor, sent),
                    self._settle(announcer, sent),
                    self._hear(client, announcer),
                    self._keep_up(announcer),
                    again_s=CANCEL_AGAIN_S,
                )
            finally:
                client.timeout = GOODBYE_S
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(self._topics.status, OFFLINE, qos=1, retain=True)

    async def _send_events(self, client: aiomqtt.Client, cursor: int, sent: _Sent) -> None:
        """Send what comes, without waiting for each acknowledgement: a far broker's would take too long."""
        publishing: set[asyncio.Task[None]] = set()
        try:
            async for event in follow(self._store, self._bus, cursor):
                self._warn_of_missed(event)
                publish = client.publish(self._topics.event(event), msgspec.json.encode(event), qos=1)
                publishing.add(task := asyncio.create_task(publish))
                task.add_done_callback(lambda done: _let_go(publishing, done))
                await sent.put((event, task))
            await sent.join()
        finally:
            for task in publishing:
                task.cancel()

    async def _settle(self, announcer: Announcer, sent: _Sent) -> None:
        """Wait for acknowledgements in order, bring states in line, and move the cursor behind."""
        settled = 0
        while True:
            event, publishing = await sent.get()
            await publishing
            await announcer.happened(event)
            settled += 1
            if sent.empty() or settled % WINDOW == 0:
                await self._cursors.advance(CURSOR, event.number)
            self._on_sent()
            sent.task_done()

    async def _hear(self, client: aiomqtt.Client, announcer: Announcer) -> None:
        """Take back what the broker still retains of cameras that are gone; ends in an error with the connection."""
        for pattern in self._topics.found():
            await client.subscribe(pattern, qos=1)
        async for message in client.messages:
            if message.payload:
                await announcer.take_back(message.topic.value)

    async def _keep_up(self, announcer: Announcer) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            if await self._cursors.hold(CURSOR, self._holder) is None:
                raise DeliveryError("another replica has taken over, as this one didn't say in time that it sends")
            await announcer.look_at_cameras()

    def _warn_of_missed(self, event: Event) -> None:
        if event.type is EventType.EVENTS_MISSED:
            _logger.warning("events were trimmed before the MQTT broker was sent them; it is told", extra=event.said())


def _let_go(publishing: "set[asyncio.Task[None]]", task: "asyncio.Task[None]") -> None:
    """Forget one that is over; the first that fails ends the session, and nobody asks for the others' errors."""
    publishing.discard(task)
    if not task.cancelled():
        task.exception()
