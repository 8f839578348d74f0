"""One trace per request: the caller's where it sends one, else a new one."""

import re

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.logs import Trace, current_trace

# https://www.w3.org/TR/trace-context/#traceparent-header; an id of zeros is invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class TraceMiddleware(ASGIMiddleware):
    """Gives every log line of a request its trace, and the caller the trace's id in `X-Trace-Id`."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Run the rest of the application inside the trace."""
        trace = Trace.start(trace_id_of(dict(scope["headers"]).get(b"traceparent", b"")))

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-trace-id", trace.trace_id.encode())]
            await send(message)

        token = current_trace.set(trace)
        try:
            await next_app(scope, receive, send_traced)
        finally:
            current_trace.reset(token)


def trace_id_of(traceparent: bytes) -> str | None:
    """The trace id in a `traceparent` header; None where there is none or it isn't valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match.group(1).decode() if match else None
