"""Is a condition over facts true, false or unknown?

The only importer of CEL. Variables are declared dotted and typed from the facts that probes
declare, so a typo or a type error dies when a playbook is loaded. A fact that is unavailable is
left unbound; CEL's `&&` and `||` absorb it in either order, which is the three-valued logic we
need. Any other evaluation error is a broken playbook and raises ConditionError.
"""

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from cel_expr_python import cel

from meshdoctor.model.facts import Ref, Scalar

Vars = Mapping[str, type]
_IDENT = re.compile(r"\b([a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\b(?!\s*\()")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_UNBOUND = 'No value with name "'
_ONE_AT_A_TIME = threading.Lock()
"""The native runtime does not promise to be safe from several threads at once."""


class ConditionError(Exception):
    """A condition that does not compile, or that fails for another reason than a missing fact."""


class Environment:
    """Compiles conditions over one set of typed facts (`step.fact` -> Python type)."""

    def __init__(self, variables: Vars) -> None:
        self.variables = dict(variables)
        self._env = cel.NewEnv(variables={n: _cel_type(t) for n, t in variables.items()})

    def compile(self, text: str) -> "Condition":
        """A condition ready to evaluate; raises ConditionError on a typo or a type error."""
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if "ERROR" in line]
            detail = (lines or [str(error)])[0].split("ERROR: <input>:")[-1]
            raise ConditionError(f"{text!r}: {detail.strip()}") from error
        if expression.return_type() != cel.Type.BOOL:
            raise ConditionError(f"{text!r}: not a condition, it does not yield true or false")
        return Condition(text, expression, self.uses(text))

    def uses(self, text: str) -> tuple[str, ...]:
        """The declared facts that a condition names, in order of appearance."""
        names = _IDENT.findall(_TEXT.sub("''", text))
        return tuple(dict.fromkeys(n for n in names if n in self.variables))


class Condition:
    """One compiled condition. Results are remembered by the values of the facts it names."""

    __slots__ = ("_expression", "_seen", "steps", "text", "uses")

    def __init__(self, text: str, expression: cel.Expression, uses: tuple[str, ...]) -> None:
        self.text = text
        self.uses = uses
        self.steps = frozenset(name.partition(".")[0] for name in uses)
        self._expression = expression
        self._seen: dict[tuple[Scalar | None, ...], bool | None] = {}

    def holds(self, facts: Mapping[str, Scalar]) -> bool | None:
        """True, false, or None: unknown because a fact it needs is not bound."""
        key = tuple(map(facts.get, self.uses))
        try:
            return self._seen[key]
        except KeyError:
            result = self._evaluate(dict(zip(self.uses, key, strict=True)))
            if len(self._seen) < 4096:
                self._seen[key] = result
            return result

    def _evaluate(self, facts: Mapping[str, Scalar | None]) -> bool | None:
        data = {n: _plain(v) for n, v in facts.items() if v is not None}
        with _ONE_AT_A_TIME:
            value = self._expression.eval(data=data)
            if value.type() == cel.Type.BOOL:
                return bool(value.value())
            problem = str(value.value())
        if _UNBOUND in problem:
            return None
        raise ConditionError(f"{self.text!r}: {problem}")


def _plain(value: Scalar) -> Scalar:
    return str(value) if isinstance(value, Ref) else value


def _cel_type(python: type) -> cel.Type:
    table = {
        bool: cel.Type.BOOL,
        int: cel.Type.INT,
        str: cel.Type.STRING,
        Ref: cel.Type.STRING,
        datetime: cel.Type.TIMESTAMP,
        timedelta: cel.Type.DURATION,
    }
    return table[python]
