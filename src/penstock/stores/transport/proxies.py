"""Proxies of the environment, which are not used: whoever has set one is told, once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.transport.base import Origin

__all__ = ["warn_of_proxy"]

_told: set[tuple[str, str]] = set()


def warn_of_proxy(origin: Origin, environ: Mapping[str, str] = os.environ) -> None:
    """Log that the proxy that the environment names for ``origin`` is not used. Its value, maybe secret, is not shown.

    ``http_proxy``, ``https_proxy`` and ``all_proxy`` are looked at in both cases of letters, and ``no_proxy``.
    """
    wanted = (f"{origin.scheme}_proxy", "all_proxy")
    name = next((name for name in environ if name.lower() in wanted and environ[name].strip()), None)
    bypassed = next((value for key, value in environ.items() if key.lower() == "no_proxy"), "")
    if name is None or (name, origin.host) in _told:
        return
    if not proxy_bypass_environment(origin.host, {"no": bypassed}):
        _told.add((name, origin.host))
        logger.warning("%s is set, but penstock uses no proxies: %s is reached directly", name, origin)
