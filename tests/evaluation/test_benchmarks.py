"""What the scripts in benchmarks/ can get wrong without anyone noticing."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np

from gdrl.config import VaeRecipe
from gdrl.training.job import TrainingJob


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_process_has_a_peak_of_its_own(repository: Path, tmp_path: Path) -> None:
    held = np.ones(40_000_000)  # 320 MB
    script = tmp_path / "peak.py"
    script.write_text("from peak_memory import peak_bytes; print(peak_bytes())")
    done = subprocess.run(
        [sys.executable, script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(repository / "benchmarks")},
    )
    assert 1e6 < int(done.stdout) < held.nbytes / 2


def test_worlds_that_no_table_has_are_refused(repository: Path) -> None:
    gem = repository / "benchmarks/gem.py"
    unknown = run(gem, "--worlds", "nowhere")
    assert unknown.returncode == 2
    assert "invalid choice: 'nowhere'" in unknown.stderr
    without = run(gem, "--tables", "noise", "--worlds", "shapes3d_like")
    assert without.returncode == 2
    assert "no table that --tables names has a world that --worlds names" in without.stderr
    elsewhere = run(gem, "--tables", "noise", "--rows", "gem_paper")
    assert elsewhere.returncode == 2
    assert "and a row that --rows names" in elsewhere.stderr


def test_a_table_can_be_shared_out_by_rows_and_seeds(repository: Path, tmp_path: Path) -> None:
    """``--print`` shows what a file has of the runs that are asked for."""
    gem, out = repository / "benchmarks/gem.py", tmp_path / "gem.jsonl"
    steps = ("vae_steps", "disgraph_steps", "reader_steps")
    budget = dict.fromkeys(("images", "test_images", "fd_images", "scored", *steps), 1)
    for seed, variant in ((3, "gem_paper"), (3, "beta_vae"), (4, "beta_vae")):
        task = {"table": "main", "variant": variant, "world": "faces", "seed": seed}
        record = {**task, "task": {**task, "budget": budget}, "rows": {variant: {"mig": seed / 10}}}
        record["commit"] = "made-here"
        with out.open("a") as file:
            file.write(json.dumps(record) + "\n")
    options = [f"--{name.replace('_', '-')}=1" for name in budget]
    shown = run(
        gem, "--print", "--tables", "main", "--rows", "beta_vae", "--seeds", "1",
        "--first-seed", "4", "--out", str(out), *options,
    )  # fmt: skip
    assert "| faces | beta_vae | 0.400 | 1 |" in shown.stdout
    assert "gem_paper" not in shown.stdout

    joined = run(
        gem, "--tables", "extractors", "--rows", "beta_vae", "--seeds", "1",
        "--first-seed", "4", "--out", str(out), "--work", str(tmp_path / "work"), *options,
    )  # fmt: skip
    assert "1 of 1 runs are in" in joined.stdout, "main's row is the same model"
    assert "| faces | beta_vae | 0.400 | 1 |" in joined.stdout
    assert json.loads(out.read_text().splitlines()[-1])["commit"] == "made-here"


def test_the_figure_shows_each_seed_once_and_the_default_budget_alone(
    repository: Path, tmp_path: Path
) -> None:
    records, out = tmp_path / "gem.jsonl", tmp_path / "scored.svg"
    figures = dict.fromkeys(("matched_95", "dci_d", "mig", "pair_tied"), 0.5)
    for seed, steps in ((0, 2_000), (1, 2_000), (0, 3_500)):
        row = {"table": "main", "variant": "gem_guided", "world": "faces", "seed": seed}
        task = {"budget": {"vae_steps": steps}}
        record = {**row, "task": task, "rows": {"gem_guided": figures}}
        with records.open("a") as file:
            file.write(json.dumps(record) + "\n")
    run(repository / "benchmarks/gem_figure.py", "--records", str(records), "--out", str(out))
    assert out.read_text().count("<circle") == 4 * 2
    assert ">1,500<" in out.read_text()


def test_records_that_are_not_there_are_told_of(repository: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.jsonl")
    for script, *options in (("gem.py", "--print", "--out"), ("gem_figure.py", "--records")):
        done = run(repository / "benchmarks" / script, *options, absent)
        assert done.returncode == 1
        assert f"{options[-1]} {absent} is not there" in done.stderr


def test_a_row_of_one_name_is_one_model(repository: Path) -> None:
    """A run of one table stands in for that of another."""
    tables = runpy.run_path(str(repository / "benchmarks/gem_tables.py"))
    rows = [variant for name in tables["MODELS"] for variant in tables["TABLES"][name]]
    assert len({row.name for row in rows}) < len(rows)
    assert all(one == other for one in rows for other in rows if one.name == other.name)


def test_a_row_says_how_many_images_are_scored(repository: Path) -> None:
    tables = runpy.run_path(str(repository / "benchmarks/gem_tables.py"))
    said = {v.name: v.num_scored for v in tables["SCORED"] if v.name.startswith("scored_")}
    assert said == {name: int(name.removeprefix("scored_")) for name in said}
    assert 1_500 in said.values()


def test_a_checkpoint_leaves_what_is_published_and_no_folder(
    repository: Path, tmp_path: Path
) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "out"

    def train(job: TrainingJob) -> None:
        job.report(1, {"loss": 2.0}, None)
        (checkpoint / "published").mkdir(parents=True)
        (checkpoint / "published" / "model.json").write_text("{}")
        job.report(2, {"loss": 1.0}, checkpoint)

    published = runpy.run_path(str(repository / "benchmarks/published.py"))["published"]
    assert published(train, VaeRecipe(steps=2), {}, out) == {"loss": 1.0}
    assert (out / "model.json").read_text() == "{}"
    assert not checkpoint.exists()
