"""Do a playbook's own tests hold, and would they notice a changed condition?

`tests.yaml` lies beside each playbook: a healthy subject's facts, and cases that overlay them.
Expectations are exhaustive: a cause that a case does not name must be ruled out. Mutation negates
every condition and forces it true and false: each mutant must break a case.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import yaml
from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.engine.collect import FactSet
from meshdoctor.engine.conditions import Environment
from meshdoctor.engine.playbook import (
    PLACEHOLDER,
    Playbook,
    PlaybookError,
    PlaybookLoader,
    Question,
    Reader,
    Rule,
    short_path,
    strict_yaml,
)
from meshdoctor.engine.rank import rank
from meshdoctor.engine.tree import judge
from meshdoctor.model.cause import Verdict
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Ref, Scalar
from meshdoctor.model.subjects import MeshSubject


class _Loader(PlaybookLoader):
    """Knows `!unavailable REASON`."""


def _unavailable(loader: Any, node: yaml.ScalarNode) -> Unavailable:
    text = loader.construct_scalar(node) or Reason.NOT_RECORDED.value
    return Unavailable(reason=Reason(text), what=f"test evidence ({text})")


_Loader.add_constructor("!unavailable", _unavailable)


class Case(Struct, frozen=True, kw_only=True):
    name: str
    facts: FactSet
    expect: tuple[str, ...]
    line: int


class Failure(Struct, frozen=True, kw_only=True):
    """A case that did not come out as expected, or a mutant that no case noticed."""

    where: str
    problem: str


def cases(playbook: Playbook) -> tuple[Case, ...]:
    """The cases of the tests.yaml beside a playbook; raises PlaybookError."""
    path = playbook.path.with_name("tests.yaml")
    where = short_path(path)
    if not path.is_file():
        raise PlaybookError(f"{where}:1: missing: every playbook has its tests beside it")
    top = Reader(strict_yaml(path.read_text(encoding="utf-8"), where, _Loader), where, "tests")
    healthy = top.raw("healthy", {})
    rows = top.raw("cases", [])
    top.done()
    out = [Case(name="healthy", facts=_facts(playbook, healthy, {}, where), expect=(), line=1)]
    missing = set(playbook.facts) - set(out[0].facts.bound) - set(out[0].facts.unavailable)
    if missing:
        raise PlaybookError(f"{where}:1: healthy does not say {sorted(missing)[0]}")
    for row in rows:
        one = Reader(row, where, "case")
        name = one.text("case")
        facts, expect = one.raw("facts", {}), one.texts("expect")
        one.done()
        overlaid = _facts(playbook, healthy, facts, where)
        out.append(Case(name=name, facts=overlaid, expect=expect, line=one.line))
    return tuple(out)


def _facts(playbook: Playbook, base: Any, over: Any, where: str) -> FactSet:
    out = FactSet()
    for layer in (base, over):
        for step, values in (layer or {}).items():
            if step == "<<":
                continue
            names = [n for n in playbook.facts if n.startswith(f"{step}.")]
            if not names:
                raise PlaybookError(f"{where}:1: no step is named {step!r}")
            if isinstance(values, Unavailable):
                for name in names:
                    out.bound.pop(name, None)
                    out.unavailable[name] = values
                continue
            for fact, value in values.items():
                _put(out, playbook, f"{step}.{fact}", value, where)
    return out


def _put(out: FactSet, playbook: Playbook, name: str, value: Any, where: str) -> None:
    declared = playbook.facts.get(name)
    if declared is None:
        raise PlaybookError(f"{where}:1: no fact is named {name!r}")
    if isinstance(value, Unavailable):
        out.bound.pop(name, None)
        out.unavailable[name] = value
        return
    out.unavailable.pop(name, None)
    out.bound[name] = _typed(value, declared.type, f"{where}: {name}")


def _typed(value: Any, wanted: type, where: str) -> Scalar:
    if wanted is datetime and isinstance(value, str):
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    if wanted is timedelta and isinstance(value, int | float):
        return timedelta(seconds=value)
    if wanted is Ref and isinstance(value, str):
        return Ref(value)
    if type(value) is not wanted:
        raise PlaybookError(f"{where}: {value!r} is no {wanted.__name__}")
    return cast(Scalar, value)


def outcome(playbook: Playbook, facts: FactSet) -> list[str]:
    """The ranked list of one case: `CODE observed|derived|suspected|undecided`."""
    judgements = judge(playbook, MeshSubject(), facts)
    out = []
    for one in rank(judgements, frozenset(), lambda _: None):
        lead = one.lead
        for member in one.members:
            word = lead.strength if lead.verdict is Verdict.CONFIRMED else Verdict.UNDECIDED
            out.append(f"{member.cause.code} {word}")
    return out


def run(playbook: Playbook) -> list[Failure]:
    """Failures of a playbook's own cases; empty when all hold."""
    where = short_path(playbook.path.with_name("tests.yaml"))
    out = []
    for case in cases(playbook):
        got = outcome(playbook, case.facts)
        if sorted(got) != sorted(case.expect):
            out.append(
                Failure(
                    where=f"{where}:{case.line} {case.name}",
                    problem=f"expected {list(case.expect)}, got {got}",
                )
            )
    return out


def mutate(playbook: Playbook) -> Iterator[Failure]:
    """Mutants that survive: a condition negated or forced, and no case noticed."""
    known = cases(playbook)
    env = Environment({n: d.type for n, d in playbook.facts.items()})
    base = [sorted(outcome(playbook, c.facts)) for c in known]
    for label, mutant in _mutants(playbook, env):
        if not _noticed(mutant, known, base):
            yield Failure(where=short_path(playbook.path), problem=f"no case notices: {label}")


def _noticed(mutant: Playbook, known: Sequence[Case], base: Sequence[list[str]]) -> bool:
    return any(
        sorted(outcome(mutant, case.facts)) != before
        for case, before in zip(known, base, strict=True)
    )


def _changed(text: str) -> Iterator[tuple[str, str]]:
    yield "negated", f"!({text})"
    yield "true", f"true || ({text})"
    yield "false", f"false && ({text})"


def _mutants(playbook: Playbook, env: Environment) -> Iterator[tuple[str, Playbook]]:
    for index, rule in enumerate(playbook.rules):
        code = rule.cause.code
        if rule.when is not None:
            for how, text in _changed(rule.when.text):
                yield f"{code} when {how}", _with(playbook, index, env, when=text)
        if rule.observed is not None:
            for how, text in _changed(rule.observed.text):
                changed = replace(rule, observed=env.compile(text))
                rules = (*playbook.rules[:index], changed, *playbook.rules[index + 1 :])
                yield f"{code} observed {how}", _clone(playbook, rules)
    for question in _questions(playbook.tree):
        if question.when is None:
            continue
        for how, text in _changed(question.when.text):
            yield f"question {question.ask!r} {how}", _asked(playbook, question, text, env)


def _questions(tree: Sequence[Question]) -> Iterator[Question]:
    for one in tree:
        yield one
        yield from _questions(one.then)


def _clone(playbook: Playbook, rules: tuple[Rule, ...]) -> Playbook:
    return Playbook(
        name=playbook.name,
        title=playbook.title,
        subject=playbook.subject,
        steps=playbook.steps,
        tree=playbook.tree,
        rules=rules,
        path=playbook.path,
    )


def _with(playbook: Playbook, index: int, env: Environment, *, when: str) -> Playbook:
    rule = playbook.rules[index]
    routes = _routes(rule, {})
    changed = replace(rule, when=env.compile(when), whole=env.compile(f"({routes}) && ({when})"))
    return _clone(playbook, (*playbook.rules[:index], changed, *playbook.rules[index + 1 :]))


def _routes(rule: Rule, swapped: Mapping[int, str]) -> str:
    def text(question: Question) -> str:
        assert question.when is not None
        return swapped.get(id(question), question.when.text)

    routes = [" && ".join(f"({text(q)})" for q in p if q.when) or "true" for p in rule.paths]
    return " || ".join(f"({r})" for r in routes) or "true"


def _asked(playbook: Playbook, question: Question, text: str, env: Environment) -> Playbook:
    rules = []
    for rule in playbook.rules:
        if any(q is question for p in rule.paths for q in p):
            own = rule.when.text if rule.when else "true"
            whole = f"({_routes(rule, {id(question): text})}) && ({own})"
            rules.append(replace(rule, whole=env.compile(whole)))
        else:
            rules.append(rule)
    return _clone(playbook, tuple(rules))


def lint(playbook: Playbook) -> list[Failure]:
    """What a complete cause lacks; the loader has already refused what is broken."""
    out = []
    known = cases(playbook)
    expected = [e for c in known for e in c.expect]
    for rule in playbook.rules:
        cause = rule.cause
        where = f"{cause.path}:{cause.line} {cause.code}"
        confirmed = [e for e in expected if e.startswith(cause.code) and "undecided" not in e]
        checks = (
            (not cause.at_fault, "names no object at fault (at_fault)"),
            (not PLACEHOLDER.search(cause.because), "`because` names nothing real ({step.fact})"),
            (not cause.docs.startswith("https://"), "docs is no https link"),
            (not confirmed, "no case confirms it"),
            (not _near_miss(rule, known), "no near miss: no case rules it out by a single step"),
            (not rule.paths, "no leaf of the tree leads to it"),
            (not cause.because.endswith("."), "`because` must be a sentence ending with a period"),
        )
        out += [Failure(where=where, problem=text) for bad, text in checks if bad]
    return out


def _near_miss(rule: Rule, known: Sequence[Case]) -> bool:
    """A case, other than the healthy one, that shares a fact the cause reads and rules it out."""
    healthy = known[0].facts.bound
    for case in known[1:]:
        if any(e.startswith(rule.cause.code) for e in case.expect):
            continue
        touched = {n for n, v in case.facts.bound.items() if healthy.get(n) != v}
        if touched & set(rule.whole.uses):
            return True
    return False
