"""Creates the secrets of `compose.yaml` in `secrets/`, each once: `python3 deploy/compose/prepare.py`.

Needs Python alone. The folder is for its owner; its files can be read by the containers' users.
"""

import secrets
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"

ROLES = ("identity", "registration", "notification")
"""Each has a database of its own, a role that owns it, and a role that uses it."""


def create(folder: Path) -> None:
    """Creates every missing file. Existing ones stay as they are."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(folder / "postgres", secrets.token_urlsafe(24))
    for name in (*ROLES, *(f"{role}_owner" for role in ROLES)):
        password = _write(folder / name, secrets.token_urlsafe(24))
        database = name.removesuffix("_owner")
        url = f"postgresql+asyncpg://{name}:{password}@postgres:5432/{database}"
        _write(folder / f"{name}_url", url)
    password = _write(folder / "temporal", secrets.token_urlsafe(24))
    # Temporal's images read their password from the environment only.
    _write(folder / "temporal.env", f"POSTGRES_PWD={password}\nSQL_PASSWORD={password}\n")


def _write(path: Path, text: str) -> str:
    if path.exists():
        return path.read_text("utf-8")
    path.write_text(text, "utf-8")
    path.chmod(0o444)
    return text


if __name__ == "__main__":
    create(FOLDER)
