"""Looks at what lies on this machine: settings, ``.env``, the bundle and the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from features.bundle import Bundle
from features.counts import counted
from features.exceptions import IntentError
from stream.checkup.finding import Finding, good, told, warning
from stream.exceptions import SettingsError
from stream.kafka.signatures import HandOverKeys
from stream.scoring.engine import engine_of
from stream.serving.keys import check_asker, keys_of
from stream.settings import ENV_ENCODING, Settings
from stream.texts import nearest

_PREFIX: Final = "INTENT_"
#: Variables that are no settings: where the broker's jars are.
_OTHERS: Final = frozenset({"INTENT_KAFKA_JARS"})
_OLD_DAYS: Final = 90
# Kafka's log of a development broker, and its jars.
_FREE_BYTES: Final = 1 << 30


def settings_checks(folder: Path) -> Iterator[Finding]:
    """Yield which variables are no settings, in the environment and in the file ``.env`` of a folder."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _OTHERS
    places = {"environment": [name for name in os.environ if name.startswith(_PREFIX)]}
    path = folder / ".env"
    if path.is_file():
        values = dotenv_values(path, interpolate=False, encoding=ENV_ENCODING)
        places[".env"] = [name for name in values if name.upper().startswith(_PREFIX)]
    elif path.is_dir():
        yield warning(".env", f"{path} is a folder, so no settings are read from it", "move it away")
    for place, names in places.items():
        unknown = [name for name in names if name.upper() not in known]
        for name in unknown:
            close = nearest(name, known)
            yield warning(
                place,
                f"{name} is no setting and is passed over",
                f"did you mean {close}?" if close else "remove it; `intent settings` lists all",
            )
        if not unknown:
            told_of = f"{len(names)} settings" if names else "no settings"
            yield good(place, told_of if place != ".env" else f"{path}: {told_of}")


def key_checks(settings: Settings) -> Iterator[Finding]:
    """Yield whether the file of keys for hand-overs can be used, where there is to be one."""
    if settings.hand_over_key is None:
        return
    try:
        HandOverKeys.of(settings.hand_over_key)
    except SettingsError as error:
        yield told("hand-overs", error)
    else:
        yield good("hand-overs", f"{settings.hand_over_key} holds keys that sign them")


def serve_checks(settings: Settings) -> Iterator[Finding]:
    """Yield whether `intent serve` would start with its keys, where it has some or others can reach it."""
    subject = "keys of the service"
    try:
        check_asker(settings)
        keys = keys_of(settings)
    except SettingsError as error:
        yield told(subject, error)
        return
    if keys is None:
        return
    if count := len(keys.current.keys):
        yield good(subject, f"{settings.serve_keys} holds {counted(count, 'key')}")
    else:
        yield warning(
            subject,
            f"{settings.serve_keys} holds no key: `intent serve` refuses every request that needs one",
            "make one with `intent keys add`",
        )


def bundle_checks(settings: Settings) -> Iterator[Finding]:
    """Yield whether the bundle can score, as the settings say, and how old it is."""
    try:
        bundle = Bundle.load(settings.bundle, key=settings.bundle_key)
    except IntentError as error:
        yield told("bundle", error)
        return
    manifest = bundle.manifest
    signed = "signed by INTENT_BUNDLE_KEY" if settings.bundle_key else "no signature is asked for"
    yield good("bundle", f"{manifest.version} in {settings.bundle} has today's features; {signed}")
    try:
        engine_of(settings, bundle)
    except IntentError as error:
        yield told("policy and shop", error)
    else:
        yield good("policy and shop", "policy, currency and time zone fit the bundle")
    if manifest.created_at:
        made = datetime.fromisoformat(manifest.created_at)
        days = (time.time() - (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()) / 86_400
        if days > _OLD_DAYS:
            yield warning(
                "bundle's age",
                f"trained {days:.0f} days ago",
                "train again on `intent archive`, and compare both by `intent evaluate`",
            )
        else:
            yield good("bundle's age", f"trained {max(days, 0):.0f} days ago")


def disk_checks(folder: Path | None = None) -> Iterator[Finding]:
    """Yield how much room there is where `intent services` keeps its files: by default in the temporary folder."""
    place = folder or Path(tempfile.gettempdir())
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        yield warning(
            "disk",
            f"{free / 1e9:.1f} GB are free in {place}, where embedded services keep their files",
            "make room, or choose another folder by `intent services --directory`",
        )
    else:
        yield good("disk", f"{free / 1e9:.0f} GB are free in {place}")
