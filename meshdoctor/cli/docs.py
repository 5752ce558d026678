"""Are the generated pages under docs/ current? `python -m meshdoctor.cli.docs [--check]`.

Writes docs/causes/, docs/facts.md, docs/rbac.yaml and docs/report.schema.json from the playbooks,
the probes and the report model; with --check it writes nothing and exits 1 on a difference.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from meshdoctor.cli.rbac import rbac
from meshdoctor.engine.playbook import Playbook, Rule, load_all, playbooks_folder
from meshdoctor.engine.selftest import Case, cases
from meshdoctor.probes.registry import PROBES
from meshdoctor.probes.view import Probe
from meshdoctor.report import pages, schema

MOST_CASES = 6


def documents(books: Sequence[Playbook], probes: Sequence[Probe] = PROBES) -> dict[str, str]:
    """Path below docs/ and text of every generated page."""
    made = sorted(
        (page for book in books for page in _cause_pages(book)), key=lambda p: p.cause.code
    )
    known = frozenset(p.cause.code for p in made)
    described = [
        pages.ProbePage(
            name=p.name,
            doc=p.doc,
            subject=p.subject.value,
            reads=p.reads,
            costly=p.costly,
            declares=p.declares,
        )
        for p in probes
    ]
    return {
        "causes/index.md": pages.index(made),
        **{f"causes/{p.cause.code}.md": pages.cause_page(p, known) for p in made},
        "facts.md": pages.facts(described),
        "rbac.yaml": rbac(probes),
        "report.schema.json": schema.text(),
    }


def _cause_pages(book: Playbook) -> list[pages.CausePage]:
    has_tests = book.path.with_name("tests.yaml").is_file()
    known = cases(book) if has_tests else ()
    return [_cause_page(book, rule, known) for rule in book.rules]


def _cause_page(book: Playbook, rule: Rule, known: Sequence[Case]) -> pages.CausePage:
    uses = dict.fromkeys((*rule.whole.uses, *(rule.observed.uses if rule.observed else ())))
    probes = {s.name: s.probe.name for s in book.steps}
    return pages.CausePage(
        cause=rule.cause,
        playbook=book.name,
        subject=book.subject.value,
        paths=[[(q.ask, q.when.text if q.when else "") for q in p] for p in rule.paths],
        facts=[
            pages.Fact(name=n, probe=probes[n.partition(".")[0]], declared=book.facts[n])
            for n in uses
        ],
        confirming=[c.name for c in known if _confirms(c, rule.cause.code)][:MOST_CASES],
        near_misses=_near_misses(rule, known),
    )


def _confirms(case: Case, code: str) -> bool:
    return any(e.startswith(code) and not e.endswith("undecided") for e in case.expect)


def _near_misses(rule: Rule, known: Sequence[Case]) -> list[str]:
    """Cases that expect nothing and touch what this cause reads, the closest first."""
    if not known:
        return []
    healthy = known[0].facts.bound
    uses = set(rule.whole.uses)
    close = []
    for case in known[1:]:
        touched = {n for n, v in case.facts.bound.items() if healthy.get(n) != v}
        if touched & uses and not case.expect:
            close.append((-len(touched & uses), case.line, case.name))
    return [name for _, _, name in sorted(close)][:MOST_CASES]


def stale(folder: Path, made: Mapping[str, str]) -> list[str]:
    """Pages that differ from what is generated, are missing, or belong to no cause any more."""
    out = [n for n, text in made.items() if _read(folder / n) != text]
    on_disk = (f"causes/{p.name}" for p in (folder / "causes").glob("*.md"))
    return sorted([*out, *(n for n in on_disk if n not in made)])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def write(folder: Path, made: Mapping[str, str]) -> None:
    """Write every page, and remove pages of causes that are gone."""
    for name in stale(folder, made):
        path = folder / name
        if name not in made:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[name], encoding="utf-8")


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a page is not current.")
def main(check: bool) -> None:
    """Write the generated pages under docs/ again, or check that they are current."""
    folder = playbooks_folder().parent / "docs"
    made = documents(load_all())
    old = stale(folder, made)
    if not check:
        write(folder, made)
        click.echo(f"{len(old)} of {len(made)} generated pages changed", err=True)
        return
    for name in old:
        click.echo(f"docs/{name} is not current: run `make docs`", err=True)
    raise click.exceptions.Exit(1 if old else 0)


if __name__ == "__main__":
    main()
