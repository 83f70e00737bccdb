"""Known weaknesses of the packages that are installed here: ``python -m tests.audit``.

`pip-audit` asks the package index. Where that does not answer, or a mirror does not tell, this says how many packages
nobody has looked at, and is no error: a check must also run without the index.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import msgspec

# A dead index would hold `make check` up for longer.
_SECONDS: Final = 180.0
_PATIENCE: Final = "10"

#: Weaknesses that do not concern this program: their ids, and why.
ACCEPTED: Final[dict[str, str]] = {}


def weaknesses(report: Any) -> list[str]:
    """Return a line for each weakness in the report of `pip-audit` that is not in `ACCEPTED`."""
    return [
        f"{package['name']} {package['version']}: {one['id']}, "
        f"mended in {', '.join(one['fix_versions']) or 'no version'}"
        for package in report["dependencies"]
        for one in package.get("vulns", ())
        if not {one["id"], *one["aliases"]} & ACCEPTED.keys()
    ]


def unseen(report: Any) -> int:
    """Return about how many packages the index says nothing."""
    return sum("skip_reason" in package for package in report["dependencies"])


def main() -> None:
    """Print what was found; the exit code is 1 if that is anything."""
    command = [
        sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json",
        "--progress-spinner", "off", "--timeout", _PATIENCE,
    ]  # fmt: skip
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        report = msgspec.json.decode(told.stdout)
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        print("audit: the package index does not answer: nothing was looked at")
        return
    packages, left = len(report["dependencies"]), unseen(report)
    found = weaknesses(report)
    if left == packages:
        print(f"audit: the package index tells nothing: none of {packages} packages was looked at")
        return
    print(f"audit: {packages - left} of {packages} packages looked at, {len(found)} known weaknesses")
    for line in found:
        print(f"  {line}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
