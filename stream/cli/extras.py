"""Which extras the commands need."""

from __future__ import annotations

from typing import Final

from features.extras import MissingExtra

# The rest needs the base install alone: emit, watch, settings, and topics without a bundle.
_EXTRAS: Final = {
    "archive": "worker",
    "bundle": "worker",
    "compare": "lab",
    "convert": "train",
    "customer": "worker",
    "dead-letters": "worker",
    "demo": "worker,train,embedded",
    "doctor": "worker",
    "evaluate": "worker,train",
    "examples": "lab",
    "explore": "train",
    "features": "worker",
    "forecast": "lab",
    "insight": "lab",
    "keys": "serve",
    "learner": "learn",
    "mcp": "mcp",
    "network": "train",
    "partition": "worker",
    "prepare": "train",
    "policy": "worker",
    "quality": "worker",
    "recommend": "lab",
    "replay": "worker",
    "report": "lab",
    "restore": "worker",
    "score": "worker",
    "segment": "train",
    "select": "train",
    "serve": "serve",
    "services": "embedded",
    "simulate": "train",
    "topics": "worker",
    "train": "train",
    "tune": "lab",
    "uplift": "worker,train",
    "worker": "worker",
}
_OWN: Final = ("features", "offline", "stream")


def missing_extra(error: ModuleNotFoundError | MissingExtra, arguments: list[str]) -> MissingExtra:
    """Return the error that names the extra which the command needs.

    Parameters
    ----------
    error
        Says which package is missing. It is raised again if it is a module of this program: that is a fault
        of the program, not of the installation.
    arguments
        Of the command line; the first one that is no option is the command.
    """
    if isinstance(error, MissingExtra):
        package = error.package
    elif error.name is None or error.name.partition(".")[0] in _OWN:
        raise error
    else:
        package = error.name
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return MissingExtra(package, _EXTRAS.get(command))
