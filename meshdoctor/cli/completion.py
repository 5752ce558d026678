"""`meshdoctor completion`: the shell's completion script."""

import click


@click.command(
    epilog="""\b
Examples:
  eval "$(meshdoctor completion bash)"
  meshdoctor completion fish > ~/.config/fish/completions/meshdoctor.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL."""
    from click.shell_completion import get_completion_class

    from meshdoctor.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "meshdoctor", "_MESHDOCTOR_COMPLETE").source())
