"""Which addresses a pipeline may fetch from.

A name is resolved once, the addresses are judged, and the connection goes to one of those that were judged: a name
that answers differently the next time (DNS rebinding) gains nothing. Addresses that carry another one inside are judged
by that one. Reference: the IANA special-purpose address registries (RFC 6890), RFC 4291 §2.4 (global unicast), RFC 6052
(NAT64), RFC 3056 (6to4).
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["is_public", "permitted_addresses"]

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is given out to the public internet
SPECIAL: Final = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))  # not in every Python


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and of a single host."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is None:
            return ip in UNICAST and ip.is_global
        ip = inside
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL)


def permitted_addresses(
    host: str, port: int, *, allow_private: bool, resolve: Callable[..., Sequence[tuple[object, ...]]] | None = None
) -> list[str]:
    """Return the addresses of ``host`` that may be connected to, in the resolver's order.

    Raises:
        ConfigurationError: it has none but private, loopback, link-local or other special ones.
        StoreUnavailable: the name cannot be resolved.
    """
    try:
        found = (resolve or socket.getaddrinfo)(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StoreUnavailable(f"the name '{host}' cannot be resolved: {error}", operation="fetch") from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))  # type: ignore[index]
    permitted = [address for address in addresses if allow_private or is_public(address)]
    if not permitted:
        raise ConfigurationError(
            f"'{host}' is at {', '.join(addresses)}, which is no public address; "
            "set allow_private: true if this pipeline may fetch from there"
        )
    return permitted
