"""All looks together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from stream.checkup.finding import Finding, told
from stream.checkup.kafka_checks import kafka_checks
from stream.checkup.machine_checks import (
    bundle_checks,
    disk_checks,
    key_checks,
    serve_checks,
    settings_checks,
)
from stream.checkup.redis_checks import redis_checks
from stream.exceptions import SettingsError
from stream.settings import load_settings


def checkup(folder: Path, services: Path | None = None, bundle: Path | None = None) -> Iterator[Finding]:
    """Yield what is found, in the order in which a deployment is put together.

    Parameters
    ----------
    folder
        Where the file ``.env`` would be.
    services
        Where embedded services keep their files; by default the temporary folder.
    bundle
        The folder of the bundle; by default that of the settings.
    """
    try:
        settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    except SettingsError as error:
        yield told("settings", error)
        return
    yield from chain(
        settings_checks(folder),
        key_checks(settings),
        serve_checks(settings),
        kafka_checks(settings),
        redis_checks(settings),
        bundle_checks(settings),
        disk_checks(services),
    )
