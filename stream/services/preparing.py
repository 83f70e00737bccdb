"""Preparing a broker for fast starts: a first broker is watched by Java, and what it loads is kept."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from stream.exceptions import ServiceError
from stream.services.embedded import KafkaServer, java, kafka_jars
from stream.services.prepared import STORAGE, PreparedBroker

__all__ = ["prepare"]


def prepare() -> Path:
    """Prepare the embedded broker, unless that was done; return the folder with what is kept (65 MB).

    Raises
    ------
    ServiceError
        Java or the jars are not there, Java is older than 24, or nobody knows where the user's home is.
    """
    program, jars = java(), kafka_jars()
    prepared = PreparedBroker.of(program, jars)
    if prepared is None:
        raise ServiceError(
            "nobody knows where your home is: set XDG_CACHE_HOME to a folder that can be written"
        )
    if prepared.there:
        return prepared.folder
    prepared.folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=prepared.folder.parent, prefix="preparing-") as folder:
        made, recorded = PreparedBroker(Path(folder) / "made"), Path(folder) / "classes.conf"
        made.folder.mkdir()
        watched = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}"]
        broker = KafkaServer(Path(folder) / "broker", jars=jars, java_options=watched)
        broker.command()  # formats storage
        shutil.copytree(broker.data, made.folder / STORAGE)
        with broker:  # Java writes down what it has loaded when the broker ends
            pass
        keep = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={made.classes}"]
        command = [program, *keep, "-cp", os.pathsep.join(map(str, jars))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not made.classes.exists():
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise ServiceError(f"Java cannot keep what it has loaded: {said[-1]}")
        try:
            made.folder.rename(prepared.folder)
        except OSError:  # another process was faster
            if not prepared.there:
                raise
    return prepared.folder
