"""The command `meshdoctor`: loads only the subcommand that was asked for.

This is the one place that catches every exception: a bug ends in one line and exit status 2,
never in a traceback (set MESHDOCTOR_DEBUG=1 to see it).
"""

import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from meshdoctor import __version__

COMMANDS: dict[str, tuple[str, str, str]] = {
    "authz": ("meshdoctor.cli.authz", "authz", "Would this request be allowed? By which policy?"),
    "collect": ("meshdoctor.cli.collect", "collect", "Record evidence as a bundle."),
    "completion": ("meshdoctor.cli.completion", "completion", "Print a shell completion script."),
    "demo": ("meshdoctor.cli.demo", "demo", "Diagnose an incident shipped with meshdoctor."),
    "diagnose": ("meshdoctor.cli.diagnose", "diagnose", "Say what is broken, and why."),
    "explain": ("meshdoctor.cli.explain", "explain", "Explain a cause by its code."),
    "inject-check": ("meshdoctor.cli.inject_check", "inject_check", "Would a sidecar be injected?"),
    "mtls": ("meshdoctor.cli.mtls", "mtls", "What will both sides speak, per port, and why?"),
    "playbook": ("meshdoctor.cli.playbook", "playbook", "List, show, check and make playbooks."),
    "preflight": ("meshdoctor.cli.preflight", "preflight", "Say what can be seen from here."),
    "propagation": (
        "meshdoctor.cli.propagation",
        "propagation",
        "Which proxies have a change, and how long did it take?",
    ),
    "score": ("meshdoctor.cli.score", "score", "Rank known incidents against their truth."),
}


class Lazy(click.Group):
    """A group that imports a subcommand when it is used; `--help` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command whose module is there, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and one line each, without importing anything."""
        rows = [(name, COMMANDS[name][2]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 healthy and fully seen, 1 a cause is confirmed, 2 usage error or broken "
    "playbook, 3 something undecided or not seen, 4 the source could not be reached.",
)
@click.version_option(__version__, prog_name="meshdoctor")
def cli() -> None:
    """Tells an on-call engineer why an Istio service mesh is failing.

    \b
    meshdoctor diagnose                                      triage the whole mesh
    meshdoctor diagnose --from shop/cart --to shop/pay:8080  why does this call fail?
    meshdoctor diagnose --bundle incident.tgz -o markdown    replay recorded evidence
    meshdoctor explain MD1001                                what a cause means
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    gc.disable()  # a run is short, and its object graph is large and free of cycles
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = cli.main(
            args=arguments,
            prog_name="meshdoctor",
            standalone_mode=False,
            obj={"ours": argv is None},
        )
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except Exception as error:
        if os.environ.get("MESHDOCTOR_DEBUG"):
            raise
        code = _failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _failed(error: Exception) -> int:
    """One line for the user; the status says whether the source or the question was at fault."""
    from meshdoctor.engine.playbook import PlaybookError
    from meshdoctor.engine.scope import ScopeError
    from meshdoctor.mesh.text import clean
    from meshdoctor.ports import EvidenceError, SourceError

    if isinstance(error, SourceError):
        click.echo(f"Error: {clean(str(error), 500)}", err=True)
        if error.hint:
            click.echo(f"  {clean(error.hint, 500)}", err=True)
        return error.exit_code
    if isinstance(error, EvidenceError):
        click.echo(f"Error: {clean(str(error.unavailable), 500)}", err=True)
        if error.unavailable.remedy:
            click.echo(f"  {clean(error.unavailable.remedy, 500)}", err=True)
        return 4
    if isinstance(error, PlaybookError | ScopeError):
        click.echo(f"Error: {clean(str(error), 500)}", err=True)
        return 2
    name = type(error).__name__
    click.echo(f"Error: internal error: {name}: {clean(str(error), 300)}", err=True)
    click.echo("  Set MESHDOCTOR_DEBUG=1 for the traceback, and please report it.", err=True)
    return 2
