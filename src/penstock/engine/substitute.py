"""Environment variables in the values of a pipeline file.

========== ==================================================================================
``${A}``    the value of ``A``; an error when it is not set
``${A:-x}`` the value of ``A``, or ``x`` when it is not set or empty (as in POSIX, XCU §2.6.2)
``$${``     the characters ``${``
========== ==================================================================================

Variables are put in after YAML has been read, so that no value can bring keys or nodes of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Environment"]

MAX_REFERENCES = 100
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-[^}]*)?\})?")


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that a pipeline may read.

    Attributes:
        variables: names and values; values are never shown.
        allowed: the only names that may be read, or None for all.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed: frozenset[str] | None = None

    def expand(self, text: str) -> tuple[str, list[str]]:
        """Return ``text`` with its references replaced, and a message for each that cannot be."""
        problems: list[str] = []
        if text.count("${") > MAX_REFERENCES:
            return text, [f"the value has more than {MAX_REFERENCES} references to variables"]

        def replace(match: re.Match[str]) -> str:
            name, fallback = match["name"], match["fallback"]
            if match[0] == "$${":
                return "${"
            if name is None:
                problems.append("'${' begins a reference to a variable: write ${NAME}, ${NAME:-default} or, "
                                "for the characters themselves, $${")  # fmt: skip
                return match[0]
            if self.allowed is not None and name not in self.allowed:
                problems.append(f"the environment variable {name} is not among those a pipeline may read here")
                return match[0]
            value = self.variables.get(name)
            if fallback is not None:
                return value or str(fallback[2:])
            if value is None:
                problems.append(
                    f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-…}}"
                )
                return match[0]
            return value

        return _REFERENCE.sub(replace, text), problems
