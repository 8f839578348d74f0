"""Where webhooks may lead: nowhere inside, unless an operator allows it (server-side request forgery, OWASP)."""

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TypeAlias

from gateway.errors import ConfigurationError, DeliveryError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""What is public of IPv6 lies in it (IANA, IPv6 Address Space); NAT64, which may lead to any IPv4 address, doesn't."""

_NOT_PUBLIC: Sequence[Network] = tuple(
    map(ipaddress.ip_network, ("2001::/32", "2002::/16", "3fff::/20", "192.88.99.0/24"))
)
"""Though it looks so: Teredo and 6to4 may lead to any IPv4 address; then documentation, and relays of 6to4."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read `10.0.0.0/8, 192.168.1.7`; `ConfigurationError` names the part that is no network."""
    networks: list[Network] = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ConfigurationError(f"RUTH_AI_WEBHOOK_NETWORKS: {error}; write it as in 10.1.0.0/16") from error
    return tuple(networks)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a webhook may connect there: to the public internet and to what is allowed."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in allowed if network.version == address.version):
        return True
    if address.version == _GLOBAL_UNICAST.version and address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


async def resolve(host: str, port: int, allowed: Sequence[Network], threads: Executor) -> Address:
    """Find the address to connect to; it, not the name, is what is connected to, so that it can't change in between.

    Args:
        host: A name or an address.
        port: What is to be connected to there.
        allowed: Networks that aren't public, and may be connected to.
        threads: Where names are looked up. A lookup that is cancelled keeps its thread until the system's resolver
            gives up, for half a minute where no name server answers: nothing that can't wait so long may share them.

    Raises:
        DeliveryError: The name is unknown, or all its addresses are refused.
    """
    try:
        addresses = [ipaddress.ip_address(host)]  # there is no name to wait for a thread with
    except ValueError:
        addresses = await _looked_up(host, port, threads)
    for address in addresses:
        if is_allowed(address, allowed):
            return address
    refused = ", ".join(dict.fromkeys(map(str, addresses)))
    raise DeliveryError(f"{host} is {refused}, which isn't public; RUTH_AI_WEBHOOK_NETWORKS can allow it")


async def _looked_up(host: str, port: int, threads: Executor) -> list[Address]:
    try:
        look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(threads, look_up)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"the name {host} can't be found: {error}") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
