"""Which kinds of node there are.

Built-in nodes and plugins enter by the same door: a kind and the place of its class, ``package.module:Class``,
imported when a pipeline first uses it. A plugin is an entry point in the group ``penstock.nodes`` whose name is the
kind::

    [project.entry-points."penstock.nodes"]
    "acme::denoiser" = "acme.nodes:Denoiser"
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias

from penstock.errors import PenstockError
from penstock.nodes.base import Node, Transform
from penstock.nodes.builtin import ALIASES, BUILTIN

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ENTRY_POINT_GROUP",
    "BrokenPlugin",
    "NodeClass",
    "Registry",
    "UnknownKind",
    "default_registry",
]

NodeClass: TypeAlias = type[Node[Any]] | type[Transform[Any]]

ENTRY_POINT_GROUP = "penstock.nodes"


class UnknownKind(PenstockError):
    """No node of this kind is known; the message offers the nearest name."""


class BrokenPlugin(PenstockError):
    """A plugin names a class that cannot be loaded."""


class Registry:
    """A table of kinds, each loaded on first use."""

    def __init__(self, kinds: dict[str, str | NodeClass] | None = None, aliases: dict[str, str] | None = None) -> None:
        self._kinds = dict(kinds or {})
        self._aliases = dict(aliases or {})

    def add(self, kind: str, target: str | NodeClass) -> None:
        """Register a class, or the place ``package.module:Class`` of one, under ``kind``.

        Raises:
            ValueError: the kind is taken.
        """
        if kind in self._kinds:
            raise ValueError(f"two nodes claim the kind '{kind}': {self._kinds[kind]} and {target}")
        self._kinds[kind] = target

    def __contains__(self, kind: str) -> bool:
        return kind in self._kinds or kind in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._kinds))

    def get(self, kind: str) -> NodeClass:
        """Return the class registered under ``kind``.

        Raises:
            UnknownKind: nothing is.
            BrokenPlugin: its class cannot be imported or is not a node.
        """
        target = self._kinds.get(self._aliases.get(kind, kind))
        if target is None:
            raise UnknownKind(self._unknown(kind))
        if isinstance(target, str):
            target = _load(kind, target)
            self._kinds[self._aliases.get(kind, kind)] = target
        return target

    def _unknown(self, kind: str) -> str:
        near = difflib.get_close_matches(kind, [*self._kinds, *self._aliases], n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"unknown kind '{kind}'{hint} (penstock nodes list shows all)"


def _load(kind: str, place: str) -> NodeClass:
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise BrokenPlugin(f"kind '{kind}' names {place}, which cannot be loaded: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, Node | Transform)):
        raise BrokenPlugin(f"kind '{kind}' names {place}, which is neither a Node nor a Transform")
    return found


@cache
def default_registry() -> Registry:
    """The built-in kinds and those of the installed plugins; a plugin cannot displace a built-in kind."""
    registry = Registry(dict(BUILTIN), dict(ALIASES))
    for plugin in entry_points(group=ENTRY_POINT_GROUP):
        if plugin.name not in registry:
            registry.add(plugin.name, plugin.value)
    return registry
