"""Which version of a deployment a worker belongs to."""

import pytest
from temporalio.common import WorkerDeploymentVersion

from tests.unit.runtime.test_deadlines import settings
from workflows.worker import deployment_version

_CONTROLLED = {"TEMPORAL_DEPLOYMENT_NAME": "prod/liity", "TEMPORAL_WORKER_BUILD_ID": "v2-1a2b"}
"""What temporal-worker-controller gives a worker."""


@pytest.mark.parametrize(
    ("own", "environment", "version"),
    [
        ("", {}, None),
        ("7", {}, WorkerDeploymentVersion("liity", "7")),
        ("", _CONTROLLED, WorkerDeploymentVersion("prod/liity", "v2-1a2b")),
        ("7", _CONTROLLED, WorkerDeploymentVersion("prod/liity", "7")),
        # A name alone makes no version.
        ("", {"TEMPORAL_DEPLOYMENT_NAME": "prod/liity"}, None),
    ],
)
def test_a_workers_version_is_its_setting_or_what_the_controller_says(
    own: str,
    environment: dict[str, str],
    version: WorkerDeploymentVersion | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in _CONTROLLED:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert deployment_version(settings(worker_build_id=own)) == version
