"""How does a playbook's command read with what was seen filled in?

A command is copied into a shell at 3 AM: a value that is missing must not leave a hole that makes
it mean something else (`kubectl delete pod -n shop ""`), and a name read from the evidence must not
bring shell syntax along. Such a value is printed as `<ITS_NAME>` and named, so that a person fills
it in.
"""

import re
from collections.abc import Iterable

from meshdoctor.engine.collect import FactSet
from meshdoctor.engine.playbook import PLACEHOLDER
from meshdoctor.engine.tree import plain
from meshdoctor.model.patterns import pattern

# What names, hosts, ports, paths, labels, selectors and JSON pointers are made of.
_PLAIN_WORD = pattern(r"[A-Za-z0-9._:/@=,+%*~^-]+")
# What stands between single quotes as a word of its own (a JSON patch) means nothing to a shell.
_QUOTED = pattern(r"[ -&(-~]+")


def fill_command(template: str, facts: FactSet) -> tuple[str, tuple[str, ...]]:
    """The command, and the placeholders left in it for a person (`<RULE_NAME>`), each once."""
    holes: list[str] = []

    def value(match: "re.Match[str]") -> str:
        name = match.group(1)
        text = plain(facts.bound[name]) if name in facts.bound else ""
        if (_QUOTED if _is_quoted(template, match) else _PLAIN_WORD).fullmatch(text):
            return text
        holes.append(f"<{name.partition('.')[2].upper()}>")
        return holes[-1]

    return PLACEHOLDER.sub(value, template), tuple(dict.fromkeys(holes))


def _is_quoted(template: str, match: "re.Match[str]") -> bool:
    """Whether the placeholder alone fills a pair of single quotes."""
    before, after = template[: match.start()], template[match.end() :]
    return before.endswith("'") and before.count("'") % 2 == 1 and after.startswith("'")


def completed_by_hand(by_hand: str, holes: Iterable[str]) -> str:
    """Why a fix cannot run as printed: the playbook's own words, and what was not seen."""
    left = ", ".join(holes)
    return " ".join(filter(None, (by_hand, f"Not seen, fill in: {left}." if left else "")))
