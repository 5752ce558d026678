"""What does a playbook say? Strict YAML in, a frozen Playbook out; every error has file:line.

An unknown key, a fact that no probe declares, a template that names nothing, a duplicate code:
all are errors when the playbook is loaded, never during an incident.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from meshdoctor.engine.conditions import Condition, ConditionError, Environment
from meshdoctor.engine.screen import Screen
from meshdoctor.model.cause import Cause, Severity, Verify
from meshdoctor.model.facts import FactDeclaration, Ref
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind
from meshdoctor.probes.registry import BY_NAME as PROBES
from meshdoctor.probes.view import Probe

CODE = pattern(r"^MD\d{4}$")
_NAME = pattern(r"^[a-z0-9]+(-[a-z0-9]+)*$")
PLACEHOLDER = pattern(r"\{([a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\}")
PROJECTIONS: Mapping[SubjectKind, Mapping[str, SubjectKind]] = {
    SubjectKind.EDGE: {
        "client": SubjectKind.WORKLOAD,
        "server": SubjectKind.WORKLOAD,
        "service": SubjectKind.SERVICE,
        "mesh": SubjectKind.MESH,
    },
    SubjectKind.WORKLOAD: {"namespace": SubjectKind.NAMESPACE, "mesh": SubjectKind.MESH},
    SubjectKind.SERVICE: {"namespace": SubjectKind.NAMESPACE, "mesh": SubjectKind.MESH},
    SubjectKind.PROXY: {"namespace": SubjectKind.NAMESPACE, "mesh": SubjectKind.MESH},
    SubjectKind.CONFIG: {"namespace": SubjectKind.NAMESPACE, "mesh": SubjectKind.MESH},
    SubjectKind.NAMESPACE: {"mesh": SubjectKind.MESH},
    SubjectKind.WEBHOOK: {"mesh": SubjectKind.MESH},
    SubjectKind.NODE: {"mesh": SubjectKind.MESH},
    SubjectKind.MESH: {},
}


class PlaybookError(Exception):
    """A broken playbook; the text starts with file:line."""


class Step(Struct, frozen=True, kw_only=True):
    name: str
    probe: Probe
    on: str


class Question(Struct, frozen=True, kw_only=True):
    """One node of the tree: the question in an engineer's words, its condition, what follows."""

    ask: str
    when: Condition | None
    then: tuple["Question", ...]
    cause: str


class Rule(Struct, frozen=True, kw_only=True):
    """A cause with its compiled conditions. `paths` are the ways through the tree that lead to it;
    `whole` is any path and `when` in one condition; `observed` None: nothing more to observe."""

    cause: Cause
    paths: tuple[tuple[Question, ...], ...]
    when: Condition | None
    observed: Condition | None
    whole: Condition
    observed_by_itself: bool


@dataclass(frozen=True, kw_only=True)
class Playbook:
    name: str
    title: str
    subject: SubjectKind
    steps: tuple[Step, ...]
    tree: tuple[Question, ...]
    rules: tuple[Rule, ...]
    path: Path

    @cached_property
    def facts(self) -> dict[str, FactDeclaration]:
        return {f"{s.name}.{d.name}": d for s in self.steps for d in s.probe.declares}

    @cached_property
    def screen(self) -> Screen:
        """Tells whether the steps' values rule out every cause."""
        steps = [(s.name, () if s.probe.costly else s.probe.declares) for s in self.steps]
        return Screen(steps, [rule.whole for rule in self.rules])

    @cached_property
    def codes(self) -> tuple[str, ...]:
        return tuple(rule.cause.code for rule in self.rules)


class PlaybookLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Mappings remember their line, duplicate keys are refused; only true and false are booleans
    (`on` is a key here), dates are text."""


class _Map(dict[str, Any]):
    line = 0


def _construct_map(loader: Any, node: yaml.MappingNode) -> _Map:
    loader.flatten_mapping(node)
    out = _Map()
    out.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in out and key != "<<":
            raise yaml.constructor.ConstructorError(
                None, None, f"duplicate key {key!r}", key_node.start_mark
            )
        out[key] = loader.construct_object(value_node, deep=True)
    return out


PlaybookLoader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_BOOL, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
PlaybookLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rows if tag not in (_BOOL, _DATE)]
    for first, rows in PlaybookLoader.yaml_implicit_resolvers.items()
}
PlaybookLoader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$"), list("tf"))


def strict_yaml(text: str, where: str, loader: type[Any] = PlaybookLoader) -> Any:
    """Parse one YAML document; raises PlaybookError with file:line."""
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise PlaybookError(f"{where}:{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise PlaybookError(f"{where}:1: {error}") from error


class Reader:
    """Takes typed values out of one mapping and complains about what is left over."""

    def __init__(self, data: Any, where: str, what: str) -> None:
        if not isinstance(data, dict):
            raise PlaybookError(f"{where}:1: {what} must be a mapping")
        self.data = dict(data)
        self.line = getattr(data, "line", 1)
        self.where = where
        self.what = what

    def fail(self, problem: str) -> PlaybookError:
        return PlaybookError(f"{self.where}:{self.line}: {self.what}: {problem}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.data.pop(key, default)
        if value is None:
            raise self.fail(f"{key} is missing")
        if not isinstance(value, str):
            raise self.fail(f"{key} must be text (quote it)")
        return value.strip()

    def flag(self, key: str, default: bool) -> bool:
        value = self.data.pop(key, default)
        if not isinstance(value, bool):
            raise self.fail(f"{key} must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.data.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.fail(f"{key} must be a list of texts")
        return tuple(value)

    def raw(self, key: str, default: Any) -> Any:
        return self.data.pop(key, default)

    def done(self) -> None:
        if self.data:
            raise self.fail(f"unknown key {sorted(self.data)[0]!r}")


def load(path: Path, probes: Mapping[str, Probe] = PROBES, *, checked: bool = True) -> Playbook:
    """One playbook file; raises PlaybookError. `checked`: every condition is compiled at once,
    so that a typo in it is an error here."""
    where = short_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlaybookError(f"{where}:1: {error}") from error
    top = Reader(strict_yaml(text, where), where, "playbook")
    name = top.text("playbook")
    if not _NAME.match(name):
        raise top.fail(f"name {name!r} must be lower-case words joined by -")
    title = top.text("title")
    subject_text = top.text("subject")
    if subject_text not in list(SubjectKind):
        raise top.fail(f"subject {subject_text!r} is none of {', '.join(SubjectKind)}")
    subject = SubjectKind(subject_text)
    steps = tuple(_steps(top.raw("steps", {}), subject, probes, top))
    declared = {f"{s.name}.{d.name}": d for s in steps for d in s.probe.declares}
    env = Environment({key: d.type for key, d in declared.items()})
    compile_ = _compiler(env, where, checked)
    tree = tuple(_questions(top.raw("tree", []), compile_, where))
    causes = [_cause(one, where) for one in _list(top, "causes")]
    top.done()
    codes = [c.code for c in causes]
    for code in codes:
        if codes.count(code) > 1:
            raise PlaybookError(f"{where}:1: {code} is stated twice")
    for leaf in _leaves(tree):
        if leaf not in codes:
            raise PlaybookError(f"{where}:1: the tree leads to {leaf}, which is not stated")
    paths = paths_to(tree)
    rules = tuple(_rule(c, paths.get(c.code, ()), env, declared, compile_) for c in causes)
    return Playbook(
        name=name, title=title, subject=subject, steps=steps, tree=tree, rules=rules, path=path
    )


def load_all(folder: Path | None = None, *, checked: bool | None = None) -> tuple[Playbook, ...]:
    """Every playbook, sorted by name; raises PlaybookError on the first that is broken.

    Those of another folder are checked whole; the shipped ones were (`playbook lint`), and compile
    as a run needs them.
    """
    root = folder or playbooks_folder()
    check = checked if checked is not None else folder is not None
    books = [load(path, checked=check) for path in sorted(root.rglob("playbook.yaml"))]
    seen: dict[str, str] = {}
    for book in books:
        for key in (book.name, *(r.cause.code for r in book.rules)):
            if key in seen:
                raise PlaybookError(f"{short_path(book.path)}:1: {key} is also in {seen[key]}")
            seen[key] = short_path(book.path)
    if not books:
        raise PlaybookError(f"{root}:1: no playbook.yaml found")
    return tuple(sorted(books, key=lambda b: b.name))


def playbooks_folder() -> Path:
    """The checkout's playbooks/ when there is one, else the wheel's copy."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "playbooks"
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    return package / "_playbooks"


def short_path(path: Path) -> str:
    """How messages name a file: from `playbooks/` on, when it lies there."""
    parts = path.parts
    if "playbooks" in parts:
        return "/".join(parts[parts.index("playbooks") :])
    return str(path)


def _list(reader: Reader, key: str) -> list[Any]:
    value = reader.raw(key, [])
    if not isinstance(value, list):
        raise reader.fail(f"{key} must be a list")
    return value


def _steps(
    data: Any, subject: SubjectKind, probes: Mapping[str, Probe], top: Reader
) -> Iterator[Step]:
    if not isinstance(data, dict):
        raise top.fail("steps must be a mapping")
    for name, body in data.items():
        if not isinstance(name, str) or not re.match(r"^[a-z][a-z0-9_]*$", name):
            raise top.fail(f"step name {name!r} must be lower_case")
        step = Reader(body, top.where, f"step {name}")
        probe_name, on = step.text("probe"), step.text("on", "")
        step.done()
        probe = probes.get(probe_name)
        if probe is None:
            raise step.fail(f"no probe is named {probe_name!r}")
        if on and on not in PROJECTIONS[subject]:
            raise step.fail(f"a {subject} has no {on!r}")
        kind = PROJECTIONS[subject][on] if on else subject
        if probe.subject != kind:
            raise step.fail(f"probe {probe_name} judges a {probe.subject}, not a {kind}")
        yield Step(name=name, probe=probe, on=on)


Compile = Callable[[str, int], Condition]


def _compiler(env: Environment, where: str, checked: bool) -> Compile:
    def compile_(text: str, line: int) -> Condition:
        try:
            return env.compile(text) if checked else env.condition(text)
        except ConditionError as error:
            raise PlaybookError(f"{where}:{line}: {error}") from error

    return compile_


def _questions(data: Any, compile_: Compile, where: str) -> Iterator[Question]:
    if not isinstance(data, list):
        raise PlaybookError(f"{where}:1: tree must be a list of questions")
    for one in data:
        node = Reader(one, where, "question")
        ask, when = node.text("ask"), node.text("when", "")
        cause, then = node.text("cause", ""), node.raw("then", [])
        node.done()
        if bool(cause) == bool(then):
            raise node.fail("a question has either `then` or `cause`")
        yield Question(
            ask=ask,
            when=compile_(when, node.line) if when else None,
            then=tuple(_questions(then, compile_, where)),
            cause=cause,
        )


def _cause(data: Any, where: str) -> Cause:
    one = Reader(data, where, "cause")
    code = one.text("cause")
    one.what = code
    if not CODE.match(code):
        raise one.fail("a code is MD and four digits")
    severity = one.text("severity")
    if severity not in list(Severity):
        raise one.fail(f"severity {severity!r} is none of {', '.join(Severity)}")
    verify = Reader(one.raw("verify", None) or _Map(), where, f"{code} verify")
    cause = Cause(
        code=code,
        name=one.text("name"),
        title=one.text("title"),
        severity=Severity(severity),
        when=one.text("when", "true"),
        observed=one.text("observed", ""),
        suspected=one.flag("suspected", False),
        at_fault=one.texts("at_fault"),
        concerns=one.texts("concerns"),
        explains=one.texts("explains"),
        because=one.text("because"),
        fix=one.text("fix"),
        by_hand=one.text("by_hand", ""),
        verify=Verify(
            run=verify.text("run"),
            expect=verify.text("expect"),
            shows=verify.texts("shows"),
            lacks=verify.texts("lacks"),
        ),
        docs=one.text("docs"),
        symptom=one.text("symptom", ""),
        mesh=one.flag("mesh", True),
        path=where,
        line=one.line,
    )
    verify.done()
    one.done()
    if not _NAME.match(cause.name):
        raise one.fail(f"name {cause.name!r} must be lower-case words joined by -")
    return cause


def _leaves(tree: tuple[Question, ...]) -> Iterator[str]:
    for node in tree:
        if node.cause:
            yield node.cause
        yield from _leaves(node.then)


def paths_to(tree: tuple[Question, ...]) -> dict[str, tuple[tuple[Question, ...], ...]]:
    """The ways through the tree that lead to each cause."""
    found: dict[str, tuple[tuple[Question, ...], ...]] = {}

    def walk(nodes: tuple[Question, ...], so_far: tuple[Question, ...]) -> None:
        for node in nodes:
            here = (*so_far, node)
            if node.cause:
                found[node.cause] = (*found.get(node.cause, ()), here)
            walk(node.then, here)

    walk(tree, ())
    return found


def _rule(
    cause: Cause,
    paths: tuple[tuple[Question, ...], ...],
    env: Environment,
    declared: Mapping[str, FactDeclaration],
    compile_: Compile,
) -> Rule:
    where = cause.path
    for ref in (*cause.at_fault, *cause.concerns):
        literal = ref.startswith("'") and ref.endswith("'")
        if not literal and (ref not in declared or declared[ref].type is not Ref):
            raise PlaybookError(f"{where}:{cause.line}: {cause.code}: {ref!r} is no reference fact")
    verify = cause.verify
    promises = (verify.run, verify.expect, *verify.shows, *verify.lacks)
    for text in (cause.because, cause.fix, cause.by_hand, *promises, *cause.at_fault):
        for name in PLACEHOLDER.findall(text):
            if name not in declared:
                raise PlaybookError(
                    f"{where}:{cause.line}: {cause.code}: no fact is named {name!r}"
                )
    when = compile_(cause.when, cause.line) if cause.when != "true" else None
    routes = [" && ".join(f"({q.when.text})" for q in p if q.when) or "true" for p in paths]
    whole = " || ".join(f"({r})" for r in routes) or "true"
    text = f"({whole}) && ({cause.when})"
    own = when.uses if when else tuple(n for p in paths for q in p if q.when for n in q.when.uses)
    return Rule(
        cause=cause,
        paths=paths,
        when=when,
        observed=compile_(cause.observed, cause.line) if cause.observed else None,
        whole=compile_(text, cause.line),
        observed_by_itself=any(declared[n].observed for n in own),
    )
