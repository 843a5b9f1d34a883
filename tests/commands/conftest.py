import json
from collections.abc import Callable
from pathlib import Path

import pytest
from seaweed import Seaweed

from gdrl import cli
from gdrl.artifacts import Storage, Store, open_store

Gdrl = Callable[..., str]


@pytest.fixture(params=["folder", "seaweed"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage: a folder, and a bucket of a real S3 server."""
    if request.param == "folder":
        return Storage(str(tmp_path / "runs"))
    seaweed: Seaweed = request.getfixturevalue("seaweed")
    s3 = seaweed.s3.model_copy(update={"cache": str(tmp_path / "cache")})
    return Storage(f"s3://{seaweed.bucket()}/team", s3)


@pytest.fixture
def filled(storage: Storage) -> Store:
    """The store behind ``storage``, for a test to fill."""
    return open_store(storage)


@pytest.fixture
def gdrl(storage: Storage, capsys: pytest.CaptureFixture[str]) -> Gdrl:
    """``gdrl`` on that storage: what it prints, or with another ``code`` what it says is wrong."""
    s3 = storage.s3.model_dump()
    settings = [f"s3.{name}={json.dumps(value)}" for name, value in s3.items() if value]

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.gdrl([*arguments, "--storage", storage.uri, *settings])
        assert (end.value.code == 0) is (code == 0), end.value.code
        return capsys.readouterr().out if code == 0 else str(end.value.code)

    return run
