import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from seaweed import Seaweed

from fake_stages import STAGES
from gdrl import cli
from gdrl.artifacts import Run, Storage, Store
from gdrl.config import RunConfig
from gdrl.execution import execute

Gdrl = Callable[..., str]


@pytest.fixture
def runs(configure: Callable[..., RunConfig], filled: Store) -> None:
    """Two finished runs, ``demo`` and ``hot``."""
    for config in (configure(), configure("hot", vae={"beta": 8.0})):
        execute(config, filled, stages=STAGES, session=lambda _: nullcontext())


@pytest.mark.usefixtures("runs")
def test_a_run_is_described_wherever_it_lies(gdrl: Gdrl, storage: Storage) -> None:
    assert gdrl("status", "demo").count("finished") == 5
    assert json.loads(gdrl("show", "demo/vae", "--json"))["loss"] == 0.5
    assert f"{storage.uri}/demo/vae" in gdrl("show", "demo/vae")
    assert gdrl("diff", "demo", "hot") == "vae  recipe.vae.beta: 4.0 -> 8.0\n"
    assert "did you mean demo?" in gdrl("status", "dmeo", code=1)


def test_a_stage_at_work_says_how_far_it_is_and_what_graph_that_gives(
    gdrl: Gdrl, filled: Store
) -> None:
    graph = {"widest_interval": 0.241, "edges": [["hat", "bald", -0.5, -0.61, -0.4]]}
    for line in ({"images": 256, "of": 1500, **graph}, {"images": 512, "of": 1500}):
        filled.append("demo/training/score_images/so-far.jsonl", json.dumps(line) + "\n")
    filled.append("demo/training/score_images/so-far.jsonl", '{"images')
    status = gdrl("status", "demo")
    assert "scores      missing  512/1500 images so far\n" in status
    assert status.endswith(
        "graph of 256 images, widest interval 0.24\n  hat  ->  bald  -0.50  -0.61 to -0.40\n"
    )


def test_a_run_of_another_extractor_lists_what_that_makes(
    gdrl: Gdrl, configure: Callable[..., RunConfig], filled: Store
) -> None:
    config = configure(extractor="contrastive_ica")
    Run(filled, "demo").attempt(config.model_dump(mode="json"))
    lines = gdrl("status", "demo").splitlines()
    listed = [line.split()[0] for line in lines]
    assert listed[:4] == ["dataset", "scores", "encoders", "components"]
    assert "vae" not in listed


@pytest.mark.usefixtures("runs")
def test_a_recipe_names_the_storage_too(
    storage: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    s3 = "\n".join(f"{key} = {json.dumps(value)}" for key, value in storage.s3)
    recipe.write_text(f"storage = {json.dumps(storage.uri)}\n[s3]\n{s3}\n")
    capsys.readouterr()
    for command in (["status", "demo", "--recipe", str(recipe)], ["plan", str(recipe)]):
        with pytest.raises(SystemExit, match="0"):
            cli.gdrl(command)
    out = capsys.readouterr().out
    assert "dataset     finished" in out
    assert "drift    prepare_data   demo/dataset" in out  # the fakes' images are three


def test_the_environment_may_name_the_endpoint(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.s3.endpoint)
    bucket = seaweed.bucket()
    with pytest.raises(SystemExit) as end:
        cli.gdrl(["status", "demo", "--storage", f"s3://{bucket}", "s3.addressing=path"])
    assert end.value.code == (
        f"error: no run 'demo' under s3://{bucket}; --storage names another folder"
    )
    assert capsys.readouterr().out == ""


def test_words_that_are_no_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.gdrl(["status", "demo", "--storage", "runs", "other"])
    assert "unrecognized arguments: other" in capsys.readouterr().err
