"""All key files of an installation."""

from pathlib import Path

from services.runtime.keys import TEMPLATES, create_keyset, create_token_signing_keys
from services.runtime.service_identity import create_service_keys


def create_keys(folder: Path) -> None:
    """Makes every key file that is missing, and leaves the others as they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for purpose in TEMPLATES:
        create_keyset(folder, purpose)
    create_service_keys(folder)
    create_token_signing_keys(folder)
