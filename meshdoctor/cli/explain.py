"""`meshdoctor explain`: what does a cause mean?"""

import click


@click.command(epilog="\b\nExample:\n  meshdoctor explain MD1001")
@click.argument("code")
def explain(code: str) -> None:
    """Say what the cause CODE (or its name) is, how it is recognised, fixed and verified."""
    from meshdoctor.engine.playbook import load_all

    rules = [(b, r) for b in load_all() for r in b.rules]
    wanted = code.upper()
    match = next(((b, r) for b, r in rules if wanted in (r.cause.code, r.cause.name.upper())), None)
    if match is None:
        near = [
            f"{r.cause.code} {r.cause.name}" for _, r in rules if r.cause.code[:4] == wanted[:4]
        ]
        hint = f" Near: {', '.join(near[:6])}." if near else " See: meshdoctor playbook list."
        raise click.UsageError(f"no cause is named {code!r}.{hint}")
    book, rule = match
    cause = rule.cause
    click.echo(f"{cause.code} {cause.name}  ({cause.severity}, playbook {book.name})\n")
    click.echo(f"{cause.title}\n")
    rows = [("because", cause.because), ("holds when", cause.when)]
    rows += [("asked", " > ".join(q.ask for q in path)) for path in rule.paths]
    rows += [
        ("observed", cause.observed or "by the facts above"),
        ("explains", ", ".join(cause.explains)),
        ("fix", cause.fix),
        ("by hand", cause.by_hand),
        ("verify", f"{cause.verify.run}  (expect: {cause.verify.expect})"),
        ("docs", cause.docs),
    ]
    for name, text in rows:
        if text:
            click.echo(f"  {name:<11}{text}")
    click.echo("\nFacts it reads:")
    for name in dict.fromkeys((*rule.whole.uses, *(rule.observed.uses if rule.observed else ()))):
        click.echo(f"  {name:<36}{book.facts[name].doc}")
