"""`meshdoctor playbook`: list, show, lint, test and make playbooks."""

from collections.abc import Sequence
from pathlib import Path

import click

from meshdoctor.engine import selftest
from meshdoctor.engine.playbook import Playbook, Question, load, load_all, playbooks_folder


@click.group()
def playbook() -> None:
    """List, show, check and make playbooks."""


def _books(names: Sequence[str], folder: Path | None) -> tuple[Playbook, ...]:
    books = load_all(folder, checked=True)
    if not names:
        return books
    chosen = tuple(b for b in books if b.name.startswith(tuple(names)))
    if not chosen:
        raise click.UsageError(f"no playbook is named {names[0]!r}; see: meshdoctor playbook list")
    return chosen


_folder = click.option(
    "--folder", type=click.Path(path_type=Path, exists=True), help="Playbooks elsewhere."
)


@playbook.command("list")
@_folder
def list_(folder: Path | None) -> None:
    """List playbooks and their causes."""
    for book in load_all(folder):
        click.echo(f"{book.name}  ({book.subject}: {book.title})")
        for rule in book.rules:
            click.echo(f"  {rule.cause.code}  {rule.cause.severity:<9}{rule.cause.name}")


@playbook.command()
@click.argument("name")
@_folder
def show(name: str, folder: Path | None) -> None:
    """Draw the decision tree of a playbook."""
    for book in _books([name], folder):
        names = {r.cause.code: r.cause.name for r in book.rules}
        click.echo(f"{book.name}: {book.title} (judges each {book.subject})")
        for step in book.steps:
            click.echo(f"  {step.name:<16}{step.probe.doc}")
        _draw(book.tree, names, 1)


def _draw(tree: Sequence[Question], names: dict[str, str], depth: int) -> None:
    for one in tree:
        indent = "  " * depth
        condition = f"   [{one.when.text}]" if one.when else ""
        leaf = f" -> {one.cause} {names[one.cause]}" if one.cause else ""
        click.echo(f"{indent}- {one.ask}{leaf}{condition}")
        _draw(one.then, names, depth + 1)


@playbook.command()
@click.argument("names", nargs=-1)
@_folder
def lint(names: tuple[str, ...], folder: Path | None) -> None:
    """Check that every cause is complete: fault, words, fix, verify, docs, cases."""
    books = _books(names, folder)
    failures = [f for b in books for f in selftest.lint(b)]
    _report(failures, f"{len(books)} playbooks, {sum(len(b.rules) for b in books)} causes: clean")


@playbook.command()
@click.argument("names", nargs=-1)
@click.option("--mutate", is_flag=True, help="Every changed condition must break a case.")
@_folder
def test(names: tuple[str, ...], mutate: bool, folder: Path | None) -> None:
    """Run the cases beside each playbook."""
    books = _books(names, folder)
    failures = [f for b in books for f in selftest.run(b)]
    if mutate and not failures:
        failures = [f for b in books for f in selftest.mutate(b)]
    count = sum(len(selftest.cases(b)) for b in books)
    _report(failures, f"{len(books)} playbooks, {count} cases: all hold")


def _report(failures: Sequence[selftest.Failure], good: str) -> None:
    for one in failures:
        click.echo(f"{one.where}: {one.problem}")
    if failures:
        click.echo(f"{len(failures)} failed", err=True)
        raise click.exceptions.Exit(1)
    click.echo(good)


PLAYBOOK = """\
playbook: {name}
title: Say in a few words what this playbook judges
subject: workload
steps:
  pod: {{probe: {probe}}}
tree:
- ask: Put the question in an engineer's words?
  cause: {code}
causes:
- cause: {code}
  name: name-the-defect-never-the-cure
  title: One line for the report
  severity: partial
  when: "{fact}"
  at_fault: ["'Deployment/default/name'"]
  because: "Say with real names what is wrong: {{{fact_name}}}."
  fix: kubectl ...
  verify: {{run: kubectl ..., expect: what the output shows}}
  docs: https://istio.io/latest/docs/
"""


@playbook.command()
@click.argument("name")
@click.option("--code", default="MD9999", show_default=True)
@_folder
def new(name: str, code: str, folder: Path | None) -> None:
    """Make a new playbook folder with a playbook.yaml and tests.yaml to fill in."""
    from meshdoctor.probes.registry import PROBES

    probe = next(
        (p for p in PROBES if p.subject == "workload" and any(d.type is bool for d in p.declares)),
        None,
    )
    if probe is None:
        raise click.ClickException("no workload probe is registered")
    target = (folder or playbooks_folder()) / name
    if target.exists():
        raise click.UsageError(f"{target} exists already")
    fact = next(d for d in probe.declares if d.type is bool)
    target.mkdir(parents=True)
    (target / "playbook.yaml").write_text(
        PLAYBOOK.format(
            name=name.replace("/", "-"),
            code=code,
            probe=probe.name,
            fact=f"pod.{fact.name}",
            fact_name=f"pod.{fact.name}",
        ),
        encoding="utf-8",
    )
    samples = {bool: "false", int: "0"}
    healthy = "\n".join(f"    {d.name}: {samples.get(d.type, chr(39) * 2)}" for d in probe.declares)
    (target / "tests.yaml").write_text(
        f"healthy:\n  pod:\n{healthy}\ncases:\n- case: the defect\n"
        f"  facts: {{pod: {{{fact.name}: true}}}}\n  expect: [{code} derived]\n",
        encoding="utf-8",
    )
    load(target / "playbook.yaml")
    click.echo(f"{target}: fill in playbook.yaml and tests.yaml, then: meshdoctor playbook lint")
