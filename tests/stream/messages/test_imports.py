from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
before = set(sys.modules)
from stream.messages import alert, asyncapi, dead_letter, score
packages = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(packages - sys.stdlib_module_names))
"""


def test_messages_can_be_read_with_msgspec_alone() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) - {"typing_extensions"} == {"features", "msgspec", "stream"}
