"""Is a condition over facts true, false or unknown?

The only importer of CEL. Variables are declared dotted and typed from the facts that probes
declare, so a typo or a type error dies when a playbook is checked. A fact that is unavailable is
left unbound; CEL's `&&` and `||` absorb it in either order, which is the three-valued logic we
need. Any other evaluation error is a broken playbook and raises ConditionError.
"""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path

from cel_expr_python import cel

from meshdoctor.model.facts import Ref, Scalar
from meshdoctor.model.patterns import pattern

Vars = Mapping[str, type]
_IDENT = pattern(r"\b([a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\b(?!\s*\()")
_TEXT = pattern(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_UNBOUND = 'No value with name "'
_ONE_AT_A_TIME = threading.Lock()
"""The native runtime does not promise to be safe from several threads at once."""


class ConditionError(Exception):
    """A condition that does not compile, or that fails for another reason than a missing fact."""


class Environment:
    """Compiles conditions over one set of typed facts (`step.fact` -> Python type)."""

    def __init__(self, variables: Vars) -> None:
        self.variables = dict(variables)

    @cached_property
    def _env(self) -> cel.Env:
        return cel.NewEnv(variables={n: _cel_type(t) for n, t in self.variables.items()})

    def condition(self, text: str) -> "Condition":
        """A condition that compiles when it is first asked: of those shipped, which are checked
        before they ship, one run evaluates a third."""
        return Condition(text, self)

    def compile(self, text: str) -> "Condition":
        """A condition that is checked; raises ConditionError on a typo or a type error."""
        condition = Condition(text, self)
        condition.compile()
        return condition

    def expression(self, text: str) -> cel.Expression:
        """The checked expression; raises ConditionError."""
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if "ERROR" in line]
            detail = (lines or [str(error)])[0].split("ERROR: <input>:")[-1]
            raise ConditionError(f"{text!r}: {detail.strip()}") from error
        if expression.return_type() != cel.Type.BOOL:
            raise ConditionError(f"{text!r}: not a condition, it does not yield true or false")
        return expression

    def uses(self, text: str) -> tuple[str, ...]:
        """The declared facts that a condition names, in order of appearance."""
        names = _IDENT.findall(_TEXT.sub("''", text))
        return tuple(dict.fromkeys(n for n in names if n in self.variables))


def runtime() -> str:
    """What tells one build of the native runtime from another."""
    state = Path(cel.__file__).stat()
    return f"{cel.__file__} {state.st_size} {state.st_mtime_ns}"


class Condition:
    """One condition. Results are remembered by the values of the facts it names.

    `uses` and `code` of a condition that was compiled before are its own, as they were then.
    """

    __slots__ = ("_code", "_env", "_expression", "_seen", "steps", "text", "uses")

    def __init__(
        self, text: str, env: Environment, uses: tuple[str, ...] | None = None, code: bytes = b""
    ) -> None:
        self.text = text
        self.uses = env.uses(text) if uses is None else uses
        self.steps = frozenset(name.partition(".")[0] for name in self.uses)
        self._env = env
        self._code = code
        self._expression: cel.Expression | None = None
        self._seen: dict[tuple[Scalar | None, ...], bool | None] = {}

    def compile(self) -> cel.Expression:
        """The expression, compiled once; raises ConditionError on a typo or a type error."""
        if self._expression is None:
            if self._code:
                self._expression = _reader().deserialize(self._code)
            else:
                self._expression = self._env.expression(self.text)
        return self._expression

    @property
    def is_new(self) -> bool:
        """Whether it was compiled from its text in this run."""
        return self._expression is not None and not self._code

    @property
    def code(self) -> bytes:
        """Its compiled form, of this run or of an earlier one; empty when there is none."""
        if self.is_new and self._expression is not None:
            return bytes(self._expression.serialize())
        return self._code

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
            value = self.compile().eval(data=data)
            if value.type() == cel.Type.BOOL:
                return bool(value.value())
            problem = str(value.value())
        if _UNBOUND in problem:
            return None
        raise ConditionError(f"{self.text!r}: {problem}")


@cache
def _reader() -> cel.Env:
    """Reads compiled conditions: those hold the types of what they name themselves."""
    return cel.NewEnv()


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
