"""Addresses and signatures of webhooks."""

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery import post
from gateway.delivery.addresses import is_allowed, parse_networks, resolve
from gateway.delivery.post import LOOKUPS, Poster
from gateway.delivery.signature import signed_headers
from gateway.domain.clock import SystemClock
from gateway.domain.webhook import WebhookSettings, check_url
from gateway.errors import ConfigurationError, DeliveryError, InvalidInputError
from tests.support.events import event


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "::7f00:1",
        "fec0::5", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1", "192.88.99.1", "3fff::1", "5f00::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_not_public_is_refused_unless_allowed(address: str) -> None:
    ip = ipaddress.ip_address(address)
    if address != "::ffff:8.8.8.8":
        assert not is_allowed(ip, ())
    assert is_allowed(ip, parse_networks("0.0.0.0/0, ::/0"))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_public_is_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1/8"):
        parse_networks("192.168.0.0/16,10.0.0.1/8")


@given(st.ip_addresses(v=6))
def test_no_address_of_ipv6_beyond_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    assert is_allowed(address, ()) <= (address in ipaddress.ip_network("2000::/3") or address.ipv4_mapped is not None)


async def test_a_name_is_refused_by_what_it_stands_for() -> None:
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(DeliveryError, match="isn't public"):
            await resolve("localhost", 80, (), threads)
        assert (await resolve("localhost", 80, parse_networks("127.0.0.0/8,::1"), threads)).is_loopback
        with pytest.raises(DeliveryError, match="can't be found"):
            await resolve("no-such-host.invalid", 80, (), threads)


async def test_an_address_waits_for_no_name_that_nobody_answers() -> None:
    answered = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        silent = asyncio.get_running_loop().run_in_executor(threads, answered.wait, 30)
        async with asyncio.timeout(5):
            assert str(await resolve("10.0.0.5", 443, parse_networks("10.0.0.0/8"), threads)) == "10.0.0.5"
            with pytest.raises(DeliveryError, match="isn't public"):
                await resolve("fe80::1", 443, (), threads)
        answered.set()
        await silent


async def test_names_that_nobody_resolves_hold_up_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def silent(*_: object, **__: object) -> None:
        given_up.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    webhook = WebhookSettings(url="https://receiver.example/", secret="x" * 16)
    async with Poster((), SystemClock(), timeout_s=0.05) as poster:
        for _ in range(2 * LOOKUPS):
            with pytest.raises(DeliveryError, match="no answer within"):
                await poster.post(webhook, "1", event(1))
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "kept") == "kept"
    given_up.set()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.1.2.3:99999/", "port from 1 to 65535"), ("http://10.1.2.3:-1/", "port from 1 to 65535"),
        ("http://10.1.2.3:abc/", "port from 1 to 65535"), ("http://[::1/", "host:port"), ("http://x:0/", "port of"),
        ("http://a..b/", "host of"), (f"http://{'a' * 64}.example/", "host of"), ("http://?/x", "host of"),
    ],
)  # fmt: skip
async def test_a_url_that_nothing_can_be_posted_to_is_refused_and_fails_as_any_other(url: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        check_url(url)
    async with Poster(parse_networks("10.0.0.0/8"), SystemClock()) as poster:
        with pytest.raises(DeliveryError, match=reason):
            await poster.post(WebhookSettings(url=url, secret="x" * 16), "1", event(1))


@pytest.mark.parametrize("url", ["http://x/", "https://[2606::1]:8443/a?b=@", "http://127.1", "http://münchen.example"])
def test_a_url_that_can_work_is_taken(url: str) -> None:
    check_url(url)


@given(st.from_regex(r"^https?://[^\s@/]+(/[^\s]*)?$", fullmatch=True))
@settings(deadline=None)
def test_whatever_a_webhooks_url_is_an_attempt_ends_as_one(url: str) -> None:
    async def post() -> None:
        async with Poster((), SystemClock()) as poster:
            with pytest.raises(DeliveryError):
                await poster.post(WebhookSettings(url=url, secret="x" * 16), "1", event(1))

    def nothing_found(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", nothing_found)
        asyncio.run(post())


async def test_a_bug_in_what_posts_is_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(post, "signed_headers", fails)
    async with Poster(parse_networks("127.0.0.1"), SystemClock()) as poster:
        with pytest.raises(DeliveryError, match="internal error: KeyError"):
            await poster.post(WebhookSettings(url="http://127.0.0.1:9/", secret="x" * 16), "1", event(1))
    assert "unforeseen" in caplog.text


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_in_plain_text_is_the_key() -> None:
    plain = signed_headers("1", 1, b"{}", "whsec_not base64 at all!")
    assert plain["webhook-signature"] != signed_headers("1", 1, b"{}", "another secret text")["webhook-signature"]
