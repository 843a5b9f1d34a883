"""The study from its command, on real Ray, with rows of seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gdrl.config import RunConfig
from gdrl.errors import ConfigError
from gdrl.settings import load
from gdrl.study import cell_recipe, markdown, run_study

TINY = [
    "recipe.contrastive.steps=2",
    "recipe.contrastive.batch_size=16",
    "recipe.study.num_seeds=2",
]


def study(repository: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    recipe = repository / "jobs/recipes/lpcm_study.toml"
    command = [sys.executable, repository / "jobs/lpcm_study.py", recipe, *TINY, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_rows_and_seeds_end_in_one_table_and_are_not_repeated(
    repository: Path, tmp_path: Path
) -> None:
    done = study(repository, tmp_path, "--rows", "sphere_vmf", "box_laplace")
    assert done.returncode == 0, done.stderr
    assert "0 of 4 cells are finished; 4 to go" in done.stdout
    folder = tmp_path / "runs/lpcm_study/study"
    cells = sorted(folder.glob("*-seed*.json"))
    assert [path.name.rpartition("-")[0] for path in cells] == [
        "box_laplace-seed0",
        "box_laplace-seed1",
        "sphere_vmf-seed0",
        "sphere_vmf-seed1",
    ]
    record = json.loads(cells[0].read_text())
    assert record["curve"][-1]["step"] == 2
    assert record["recipe"]["latents"]["space"] == "box"
    rows = {row["row"]: row for row in json.loads((folder / "table.json").read_text())}
    assert (rows["sphere_vmf"]["seeds"], rows["sphere_normal"]["seeds"]) == (2, 0)
    assert (folder / "table.md").read_text() in done.stdout
    written = [path.stat().st_mtime_ns for path in cells]
    again = study(repository, tmp_path, "--rows", "sphere_vmf", "box_laplace")
    assert "4 of 4 cells are finished; 0 to go" in again.stdout
    assert [path.stat().st_mtime_ns for path in cells] == written


def test_an_unknown_row_costs_nothing(repository: Path, tmp_path: Path) -> None:
    done = study(repository, tmp_path, "--rows", "sphere_wmf")
    assert done.returncode == 1
    assert "error: no row sphere_wmf; recipe.study.rows has sphere_vmf, " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows is empty"):
        run_study(RunConfig(storage=str(tmp_path)))


def test_matched_rows_compare_codes_as_the_latents_are_drawn(recipes: Path) -> None:
    config = load(recipes / "lpcm_study.toml")
    rows = {row.name: row for row in config.recipe.study.rows}
    for name in ("sphere_vmf", "box_laplace"):
        recipe = cell_recipe(config, rows[name], seed=3)
        assert recipe.encoder_space == recipe.latents.space
        assert recipe.temperature == recipe.latents.conditional_scale
        assert (recipe.seed, recipe.latents.seed) == (3, 3)
    assert {row.latents.dim for row in rows.values()} == {5}


def test_a_table_says_mean_deviation_and_what_is_missing() -> None:
    row = {
        "row": "sphere_vmf",
        "score": "r2",
        "paper": "99.5 ± 0.1",
        "steps": 100,
        "seeds": 2,
        "cpu_seconds": 12.4,
        "r2": (0.991, 0.002),
        "mcc": (0.6, None),
        "r2_private": None,
    }
    expected = "| sphere_vmf | **99.1 ± 0.2** | 60.0 | – | 99.5 ± 0.1 | 2 | 100 | 12 |"
    assert markdown([row]).splitlines()[-1] == expected
