"""Help that reads plainly: nothing stands beside an option that takes no value."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["make_plain"]


class _PlainCommand(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class _PlainGroup(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def make_plain(app: typer.Typer) -> None:
    """Show the flags of all commands of ``app`` without ``<bool>``."""
    app.info.cls = _PlainGroup
    for command in app.registered_commands:
        command.cls = _PlainCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            make_plain(group.typer_instance)


def _without_types(params: Any) -> Any:
    for param in params:
        # Also those that Typer adds itself (--help, --install-completion).
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params
