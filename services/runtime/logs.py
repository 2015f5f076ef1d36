"""Logging: structlog, as JSON lines or for a terminal. No personal data: IDs, stages and reasons only."""

import logging
import sys
import time
from typing import Any

import structlog

from services.runtime.settings import RuntimeSettings

_INTERVAL = 10.0
"""Least seconds between two lines of the same warning."""

_log = structlog.get_logger()


class RareWarnings:
    """Logs a warning that every call repeats during an outage: one line in ten seconds at most."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - structlog's
        """Logs unless the same line was logged recently; `held_back` counts the lines left out since."""
        key = (event, repr(sorted(fields.items())))
        now = time.monotonic()
        if now < self._next.get(key, 0.0):
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return
        self._next[key] = now + _INTERVAL
        _log.warning(event, **fields, held_back=self._held_back.pop(key, 0))


def configure(component: str, settings: RuntimeSettings) -> None:
    """Configures logging for the process. Every line names the component."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks without the values of local variables: they may hold personal data.
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if settings.log_format == "console"
        else structlog.processors.JSONRenderer()
    )
    traceback = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    structlog.configure(
        processors=[*shared, traceback, renderer] if settings.log_format == "json" else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, traceback, renderer]
            if settings.log_format == "json"
            else [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # Their lines hold addresses and SQL statements.
    for noisy in ("sqlalchemy", "aiosmtplib", "alembic", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(component=component)
