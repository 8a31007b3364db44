"""
Addresses that somebody else names: which hosts we call for them.

A browser's push endpoint, a webhook's URL: whoever sets one must not reach what only we can reach. So the name
is resolved here and the connection goes to the very address that was looked at; a name that resolves to
something else a moment later gains nothing.
"""

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RESOLVERS = 16  # threads: a lookup blocks, and a hostile name server may take its time
_RESOLVER = ThreadPoolExecutor(max_workers=_RESOLVERS, thread_name_prefix="resolver")


class Forbidden(Exception):
    """The host has no address that may be called."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """ALLOWED_NETWORKS as networks. Raises ValueError with a sentence."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"ALLOWED_NETWORKS must be networks like 10.1.0.0/16: {error}.") from None


def may_call(address: str, *, allowed: Sequence[Network]) -> bool:
    """Whether this IP address is public, or in one of the allowed networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in an IPv6 coat is judged by itself (RFC 4291, 2.5.5.2; RFC 3056; RFC 6052, 3.1).
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    if any(ip in network for network in allowed):
        return True
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Guarded(httpcore.AsyncNetworkBackend):
    """A network that ends at our own: it connects only to addresses that may be called."""

    def __init__(self, *, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *arguments: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers. Raises Forbidden, ConnectError, ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
                found = await asyncio.get_running_loop().run_in_executor(_RESOLVER, look_up)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name could not be resolved in time") from error
        except (OSError, UnicodeError) as error:  # a label of 64 letters is no OSError
            raise httpcore.ConnectError("the name could not be resolved") from error
        addresses = [str(entry[4][0]) for entry in found]
        public = [address for address in addresses if may_call(address, allowed=self._allowed)]
        if not public:
            raise Forbidden(host)
        for address in public[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, *arguments, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(public[-1], port, timeout, *arguments, **options)
