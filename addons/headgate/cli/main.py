"""The `headgate` command and its groups."""

import click

from headgate import __version__
from headgate.cli.lazygroup import LazyGroup
from headgate.cli.screen import visible
from headgate.errors import HeadgateError

COMMANDS = {
    "audit": ("headgate.cli.audit:audit", "Verify, follow and export the log of what was decided."),
    "bench": ("headgate.cli.bench:bench", "Measure the chain against bare mitmdump, and each stage of it."),
    "demo": ("headgate.cli.demo:demo", "Run real requests through the whole chain on loopback, and say where to look."),
    "flows": ("headgate.cli.flows:flows", "List, show, search, export, save and replay what was recorded."),
    "init": ("headgate.cli.init:init", "Write a commented rules folder to start from."),
    "mask": ("headgate.cli.mask:mask", "Mask a file or stdin by the rules."),
    "releases": ("headgate.cli.releases:releases", "Sign, verify and show the list of releases."),
    "rules": ("headgate.cli.rules:rules", "Check, explain, test, compare, activate, roll back and sign rules."),
    "run": ("headgate.cli.run:run", "mitmdump with the chain and safe defaults."),
    "sessions": ("headgate.cli.sessions:sessions", "Cut off a session, a caller or a token; list and lift that."),
    "signal": ("headgate.cli.signal:signal", "Set and clear live signals that rules can match; list them."),
    "token": ("headgate.cli.token:token", "Mint tokens for trying things out; see why a token is or is not accepted."),
    "web": ("headgate.cli.run:web", "mitmweb with the chain and safe defaults."),
}


class Headgate(LazyGroup):
    """Tells what went wrong in a line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except HeadgateError as error:
            raise click.ClickException(visible(str(error), keep="\n")) from error


@click.group(cls=Headgate, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headgate")
def main() -> None:
    """An identity-aware access proxy with runtime guardrails.

    \b
    headgate demo                                     see it work
    headgate run --mode reverse:http://127.0.0.1:9000   put it in front of a service
    headgate flows list                               see what was recorded
    """
