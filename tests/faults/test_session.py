import logging
import os

import pytest

from gdrl.distributed import session

FOLDER = "RAY_TMPDIR"


def test_a_start_that_failed_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray is given a folder that cannot be, until the first complaint."""

    def relent(_: logging.LogRecord) -> bool:
        os.environ.pop(FOLDER, None)
        return True

    session.disconnect()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(FOLDER, "/dev/null/ray")
    logger = logging.getLogger("gdrl.distributed.session")
    logger.addFilter(relent)
    try:
        session.connect()
        import ray

        assert ray.cluster_resources()["CPU"] >= session.MIN_LOGICAL_CPUS
        assert [r.getMessage() for r in caplog.records if "trying once more" in r.getMessage()]
    finally:
        logger.removeFilter(relent)
        session.disconnect()
