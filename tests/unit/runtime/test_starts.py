"""What a start imports: tests start components hundreds of times, and in production each restart waits."""

import subprocess
import sys

import pytest

_LOADED = """
import sys
from deploy.components import runner
for component in sys.argv[1].split():
    runner(component)
print(*sorted({"alembic", "holidays", "sqlalchemy", "starlette", "uvicorn"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("components", "needed"),
    [("gateway worker", ""), ("identity notification", "sqlalchemy"), ("codec", "starlette uvicorn")],
)
def test_a_component_imports_no_heavy_package_that_it_does_not_need(components: str, needed: str) -> None:
    command = [sys.executable, "-c", _LOADED, components]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert loaded.stdout.strip() == needed
