"""`baremetal-lb`: find the verb and import nothing of another: a speaker must start fast and stay small."""

from collections.abc import Callable
from importlib import import_module

import typer
from typer.core import TyperCommand, TyperGroup

VERBS = {
    "controller": "baremetal_lb.cli.controller:controller",
    "demo": "baremetal_lb.cli.demo:demo",
    "explain": "baremetal_lb.cli.explain:app",
    "lab": "baremetal_lb.cli.lab:app",
    "migrate": "baremetal_lb.cli.migrate:app",
    "speaker": "baremetal_lb.cli.speaker:speaker",
}
"""Where each verb is: a function, or a typer app with verbs of its own."""


class _Verbs(TyperGroup):
    """The verbs, each imported when it is asked for."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - typer calls it so
        return list(VERBS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        return _as_command(cmd_name, getattr(import_module(module), attribute))


def _as_command(name: str, verb: typer.Typer | Callable[..., None]) -> TyperCommand | TyperGroup:
    app = verb
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(verb)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand | TyperGroup)
    command.name = name
    return command


app = typer.Typer(cls=_Verbs, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Services of type LoadBalancer for Kubernetes clusters on your own machines."""


if __name__ == "__main__":
    app()
