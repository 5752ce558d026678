"""How do two hundred regular expressions cost nothing before they are needed?

Compiling them takes a tenth of a second on every start, and a run uses a few dozen.
"""

import re
from typing import Any, cast


def pattern(text: str, flags: int = 0) -> "re.Pattern[str]":
    """`re.compile(text, flags)` at its first use. Take methods from it; do not compare it."""
    return cast("re.Pattern[str]", _Pattern(text, flags))


class _Pattern:
    def __init__(self, text: str, flags: int) -> None:
        self._given = (text, flags)

    def __getattr__(self, name: str) -> Any:
        """Only for what is not there yet: the methods of the compiled pattern come to stay."""
        if name.startswith("__"):
            raise AttributeError(name)
        compiled = re.compile(*self._given)
        for method in ("search", "match", "fullmatch", "findall", "finditer", "sub", "split"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)
