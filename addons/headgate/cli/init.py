"""`headgate init`: a rules folder to start from, whole or not at all, that every check of it passes."""

import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import click

from headgate.cli.options import JSON
from headgate.cli.screen import visible
from headgate.errors import BundleError, HeadgateError

FILES = ("bundle", "identity", "targets", "policy", "masking")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
DEVELOPMENT = "dev"
"""The environment of tokens from `headgate token mint`."""

OBSERVING = """\
#
# `observe: true`: what the rules say of its requests is recorded and not enforced; who calls is still checked. To
# enforce: have `headgate rules suggest` write rules from what was recorded, read and test them, and set it to false.
"""


class TargetOption(NamedTuple):
    name: str
    hosts: tuple[str, ...]


def _targets(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[TargetOption, ...]:
    from headgate.policy.targets import host_entry

    found = []
    for value in values:
        name, sign, host = value.partition("=")
        if not (name and sign):
            accepted = "`NAME=HOST` or `NAME=HOST:PORT`, such as `payments=payments.internal`"
            raise click.BadParameter(f"`{visible(value)[:80]}` is not a target; accepted: {accepted}")
        try:
            host_entry(host)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        found.append(TargetOption(name, (host,)))
    return tuple(found) or (TargetOption("local", LOOPBACK),)


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default="rules")
@click.option(
    "--target", "targets", callback=_targets, multiple=True, metavar="NAME=HOST[:PORT]",
    help="A system behind the proxy; may be repeated. Without it: any service on this machine, as `local`.",
)  # fmt: skip
@click.option("--observe/--enforce", default=True, help="Whether targets are only observed.  [default: observe]")
@click.option("--provider", type=click.Choice(["development", "oidc"]), default="development", show_default=True)
@click.option("--issuer", metavar="URL", help="Of the oidc provider.")
@click.option("--jwks", metavar="URL", help="Its keys; without it they are looked up at the issuer.")
@click.option(
    "--audience", "audiences", multiple=True, metavar="NAME", help="Whom its tokens are for; may be repeated."
)
@JSON
def init(
    folder: Path,
    targets: tuple[TargetOption, ...],
    observe: bool,
    provider: str,
    issuer: str | None,
    jwks: str | None,
    audiences: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a commented rules folder to start from into DIR (default: rules), which must be new or empty.

    Its targets are observed: the proxy records what the rules would say and enforces nothing yet. What to do next is
    printed.

    \b
    headgate init
    headgate init guard --target payments=payments.internal --target ledger=10.1.2.3:8443
    headgate init --target payments=payments.internal --provider oidc \\
      --issuer https://sso.example.com --audience payments
    """
    oidc = {"--issuer": issuer, "--audience": audiences}
    if provider == "oidc" and (missing := [name for name, value in oidc.items() if not value]):
        raise click.UsageError(f"--provider oidc needs {' and '.join(missing)}")
    if provider != "oidc" and (issuer or jwks or audiences):
        raise click.UsageError(
            "--issuer, --jwks and --audience are of another provider; accepted: with --provider oidc"
        )
    environment = DEVELOPMENT if provider == "development" else "prod"
    texts = _rendered(provider, environment, targets, observe, {"issuer": issuer, "jwks": jwks, "audiences": audiences})
    _write(folder, texts)
    steps = _next(folder, targets, observe, provider)
    if as_json:
        told = {"folder": str(folder), "files": [*texts], "targets": [target.name for target in targets]}
        click.echo(json.dumps({**told, "observe": observe, "next": [command for command, _ in steps]}, indent=2))
        return
    click.echo(f"wrote {visible(str(folder))}: {', '.join(f'{name}.yaml' for name in FILES)}, schema/")
    click.echo("next:")
    width = max(len(command) for command, _ in steps)
    for command, why in steps:
        click.echo(f"  {visible(command):{width}}  # {why}")


def _next(folder: Path, targets: tuple[TargetOption, ...], observe: bool, provider: str) -> list[tuple[str, str]]:
    """Commands, and what each is for."""
    upstream = "http://127.0.0.1:9000" if targets[0].hosts == LOOPBACK else _url(targets[0])
    where = "" if str(folder) == "rules" else f" {folder}"
    chosen = f" --set headgate_rules={folder}" if where else ""
    steps = [
        (f"headgate rules check{where}", "and lint, test: after each change"),
        (f"headgate run --mode reverse:{upstream}{chosen}", "the proxy, at http://127.0.0.1:8080"),
    ]
    if provider == "development":
        steps.append(("headgate token mint", "a token to call it with: Authorization: Bearer ..."))
    steps.append(("headgate flows list", "what was called, and what the rules say of it"))
    if observe:
        rules = f" --rules {folder}" if where else ""
        steps.append((f"headgate rules suggest{rules} --write {folder}/policy/suggested.yaml", "rules that allow it"))
        steps.append((f"set `observe: false` in {folder}/targets.yaml", "and from then on they are enforced"))
    return steps


# -- the files --------------------------------------------------------------------------------------------------------


def _rendered(
    provider: str, environment: str, targets: tuple[TargetOption, ...], observe: bool, oidc: dict[str, Any]
) -> dict[str, str]:
    """Each file's text by its name."""
    from headgate.bundle.files import schemas
    from headgate.policy.suggest.written import flow, scalar

    values = {
        "name": "starter",
        "environment": environment,
        "target_names": flow([target.name for target in targets]),
        "url": _url(targets[0]),
        "more_tests": "".join(_health_test(target, environment) for target in targets[1:]),
        "about_observing": OBSERVING if observe else "",
        "targets": "".join(_target(target, environment, observe) for target in targets),
        "issuer": scalar(oidc["issuer"] or ""),
        "audiences": flow(list(oidc["audiences"])),
        "jwks": f"    jwks: {scalar(oidc['jwks'])}\n" if oidc["jwks"] else "",
    }
    folder = files("headgate") / "starter"
    sources = {name: f"identity-{provider}.yaml" if name == "identity" else f"{name}.yaml" for name in FILES}
    texts = {
        f"{name}.yaml": Template((folder / source).read_text(encoding="utf-8")).substitute(values)
        for name, source in sources.items()
    }
    return texts | {
        f"schema/{Path(name).stem}.json": json.dumps(content, indent=2) + "\n" for name, content in schemas().items()
    }


def _url(target: TargetOption) -> str:
    """Where its service is, for all we know."""
    host = target.hosts[0].replace("*", "api")
    return f"http://{host}" if target.hosts == LOOPBACK else f"https://{host}"


def _health_test(target: TargetOption, environment: str) -> str:
    from headgate.policy.suggest.written import flow

    test = {
        "principal": {"id": "ana", "kind": "human", "environment": environment},
        "request": {"method": "GET", "url": f"{_url(target)}/health"},
        "expect": {"effect": "allow", "rule": "everybody-checks-health"},
    }
    lines = [f"  - name: {flow(f'so is one at {target.name}')}", *(f"    {key}: {flow(test[key])}" for key in test)]
    return "\n".join([*lines, "\n"])


def _target(target: TargetOption, environment: str, observe: bool) -> str:
    from headgate.policy.suggest.written import flow, scalar

    lines = [f"  - name: {scalar(target.name)}", f"    hosts: {flow(target.hosts)}", f"    environment: {environment}"]
    return "\n".join([*lines, "    observe: true\n" if observe else "    observe: false\n"])


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Everything under another name first, checked as any bundle is, and then at once under its own."""
    from headgate.bundle.load import load_bundle

    shown = visible(str(folder))[:80]
    if folder.resolve() == Path.cwd():
        raise HeadgateError(f"`{shown}` is the folder that you are in; accepted: one in it, that is new or empty")
    if os.path.lexists(folder) and not _is_empty(folder):
        raise HeadgateError(f"`{shown}` is there and not empty; accepted: a folder that is new or empty")
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        (new / "schema").mkdir(parents=True)
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8")
        load_bundle(new, folder.name)
        new.rename(folder)
    except BundleError as error:
        raise HeadgateError(f"nothing was written, for these rules could not be used:\n{error}") from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise HeadgateError(f"`{shown}` cannot be written: {reason}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    try:
        return folder.is_dir() and not any(folder.iterdir())
    except OSError:
        return False
