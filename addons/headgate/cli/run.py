"""`headgate run` and `headgate web`: mitmdump and mitmweb with the guard installed before anything is listened to."""

import sys

import click

PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


@click.command(context_settings=PASS_ON)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def run(options: tuple[str, ...]) -> None:
    """mitmdump with the chain; takes all of mitmdump's options.

    \b
    headgate run --mode reverse:http://127.0.0.1:9000 --listen-port 8080
    headgate run --mode regular --set headgate_rules=/etc/headgate/rules
    """
    from headgate.proxy.masters import run_dump

    sys.argv[0] = "headgate run"
    run_dump(options)


@click.command(context_settings=PASS_ON)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def web(options: tuple[str, ...]) -> None:
    """mitmweb with the chain; takes all of mitmweb's options.

    \b
    headgate web --mode reverse:http://127.0.0.1:9000 --no-web-open-browser
    """
    from headgate.proxy.masters import run_web

    sys.argv[0] = "headgate web"
    run_web(options)
