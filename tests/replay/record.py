"""Records the histories that the replay gate keeps: `python -m tests.replay.record RELEASE`.

Goes each path of `tests.replay.paths` under skipped time, over real services, with persons who do not
exist, and writes `tests/replay/histories/{release}/{path}.json`. To be run for each release, with its
code, before it is tagged. What is recorded is left alone: a history of a release that is still to come is
recorded anew when its file was deleted, one of an earlier release never.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from deploy.admin.key_files import create_keys
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.codec import EncryptionCodec
from tests.conftest import running_postgres
from tests.replay.histories import FOLDER, OpenSeal, decrypt, write
from tests.replay.paths import PATHS
from tests.workflows.conftest import running_world


async def record(target: Path) -> None:
    """Writes the history of each path into a folder, unless it is there."""
    with tempfile.TemporaryDirectory() as folder:
        keys_dir = Path(folder) / "keys"
        create_keys(keys_dir)
        codec = EncryptionCodec(load_keyset(keys_dir, KeysetPurpose.PAYLOADS))
        async with (
            running_postgres(Path(folder) / "postgres") as postgres,
            running_world(postgres, keys_dir, OpenSeal()) as world,
        ):
            for name, path in PATHS.items():
                file = target / f"{name}.json"
                if file.exists():
                    continue
                run = await path(world)
                history = await run.fetch_history()
                await decrypt(history, codec)
                write(file, history)
                sys.stdout.write(f"{name}: {len(history.events)} events\n")
                sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    (release,) = sys.argv[1:]
    asyncio.run(record(FOLDER / release))
