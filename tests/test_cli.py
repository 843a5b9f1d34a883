import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gdrl import cli
from gdrl.artifacts import LocalStore
from gdrl.config import RunConfig

RunFakes = Callable[..., None]

HEAVY = (
    "torch",
    "ray",
    "transformers",
    "deepspeed",
    "pyarrow",
    "numpy",
    "scipy",
    "sklearn",
    "boto3",
    "botocore",
)

LOOK = """
import sys
from gdrl.cli import gdrl
try:
    gdrl(sys.argv[1:])
except SystemExit as end:
    heavy = sorted(set({heavy!r}) & set(sys.modules))
    print("HEAVY", heavy, "EXIT", end.code)
"""


@pytest.fixture
def finished(
    configure: Callable[..., RunConfig], run_fakes: RunFakes, store: LocalStore
) -> Callable[..., str]:
    """Run ``gdrl`` on two finished runs, ``demo`` and ``hot``; give back what it prints."""
    run_fakes(configure())
    run_fakes(configure("hot", vae={"beta": 8.0}))

    def look(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-c", LOOK.format(heavy=HEAVY), *arguments]
        if arguments[0] != "plan":
            command += ["--storage", str(store.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        out, _, end = done.stdout.rpartition("HEAVY ")
        heavy, _, status = end.strip().partition(" EXIT ")
        assert heavy == "[]"
        assert (status == "0") is (code == 0)
        return out if code == 0 else status

    return look


def test_status_says_what_is_finished(finished: Callable[..., str]) -> None:
    lines = finished("status", "demo").splitlines()
    states = {line.split()[0]: line.split()[1] for line in lines}
    assert states == {
        "dataset": "finished",
        "vae": "finished",
        "scores": "finished",
        "names": "missing",
        "graph": "finished",
        "disgraph": "missing",
        "evaluation": "missing",
        "report": "finished",
    }


def test_show_prints_a_manifest_or_its_metrics(finished: Callable[..., str]) -> None:
    text = finished("show", "demo/vae")
    assert "train_vae, attempt 0001" in text
    assert "model.txt" in text
    assert '"beta": 4.0' in text
    metrics = json.loads(finished("show", "demo/vae", "--json"))
    assert metrics == {"loss": 0.5, "resumed": 0, "diverged": None}


def test_show_of_what_is_not_there_says_so(finished: Callable[..., str]) -> None:
    assert "run 'demo' has no finished names" in finished("show", "demo/names", code=1)
    assert "did you mean demo?" in finished("show", "dmeo/vae", code=1)
    assert "no run 'zzz'" in finished("status", "zzz", code=1)


def test_diff_names_fields_of_two_runs(finished: Callable[..., str]) -> None:
    assert finished("diff", "demo", "hot") == "vae  recipe.vae.beta: 4.0 -> 8.0\n"
    assert finished("diff", "demo", "demo") == "no difference\n"


def test_what_is_kept_and_what_not_needs_nothing_heavy_either(
    finished: Callable[..., str], tmp_path: Path
) -> None:
    report = finished("export", "demo", str(tmp_path / "out")).splitlines()[-1]
    assert Path(report).read_text() == "a model: 0.5"
    assert finished("gc") == "nothing to delete\n"


def test_plan_reads_a_recipe_and_overrides(
    finished: Callable[..., str], recipes: Path, store: LocalStore
) -> None:
    # The fake run's vae was made by a stage of the same name from the same data set.
    overrides = [f"storage={store.root}", "recipe.dataset.num_images=3"]
    plan = finished("plan", str(recipes / "demo.toml"), *overrides, "recipe.vae.beta=8")
    rows = {line.split()[1]: line.split()[0] for line in plan.splitlines() if "->" not in line}
    assert rows["prepare_data"] == "skip"
    assert rows["train_vae"] == "drift"
    assert rows["train_graph"] == "blocked"
    assert "recipe.vae.beta: 4.0 -> 8.0" in plan


def test_a_person_gets_a_message_and_no_traceback(recipes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gdrl", "plan", str(recipes / "demo.toml"), "recipe.vae.bta=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: override recipe.vae.bta=1: unknown key recipe.vae.bta;")
    assert "Traceback" not in done.stderr


def test_a_defect_in_a_stage_shows_its_traceback(
    configure: Callable[..., RunConfig],
    run_fakes: RunFakes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="score_images failed: KeyError"):
        cli.exit_after(lambda: run_fakes(configure(scores={"seed": 14})))
    assert 'raise KeyError("a defect")' in capsys.readouterr().err


def test_a_failure_with_a_remedy_shows_no_traceback(
    configure: Callable[..., RunConfig],
    run_fakes: RunFakes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="start the server"):
        cli.exit_after(lambda: run_fakes(configure(scores={"seed": 13})))
    assert capsys.readouterr().err == ""
