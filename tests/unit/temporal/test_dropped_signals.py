"""A signal whose body is no message is one warning, without a stack trace."""

import inspect
import logging

import pytest
from temporalio.worker import _workflow_instance

from workflows.support.signals import DroppedSignals


def test_a_wrong_body_of_a_signal_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    # As the SDK words it.
    assert "dropping the signal" in inspect.getsource(_workflow_instance)
    assert _workflow_instance.logger.name == "temporalio.worker._workflow_instance"
    log, drops = logging.getLogger("temporalio.worker.test"), DroppedSignals()
    log.addFilter(drops)
    try:
        raise ValueError("body")
    except ValueError:
        log.exception("Failed deserializing signal input for withdraw, dropping the signal")
        log.exception("Failed otherwise")
    log.removeFilter(drops)
    assert [(line.levelname, line.exc_info is None) for line in caplog.records] == [
        ("WARNING", True),
        ("ERROR", False),
    ]
