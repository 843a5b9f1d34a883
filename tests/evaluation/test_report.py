"""Everything at once: ``evaluate`` and ``python -m gdrl.evaluation``."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gdrl.errors import DataError
from gdrl.evaluation import evaluate
from gdrl.evaluation.__main__ import main
from gdrl.evaluation.report import MEANINGS
from gdrl.evaluation.rows import split_rows

NAMES = ["hue", "size", "shape", "angle"]


@pytest.fixture
def files(tmp_path: Path, identity: np.ndarray, grid: np.ndarray) -> tuple[Path, Path]:
    return (
        write(tmp_path / "codes.parquet", [f"z{i}" for i in range(4)], identity),
        write(tmp_path / "factors.parquet", [f"factor:{name}" for name in NAMES], grid),
    )


def write(path: Path, names: list[str], columns: np.ndarray, **more: object) -> Path:
    table = {name: pa.array(column) for name, column in zip(names, columns.T, strict=True)}
    pq.write_table(pa.table({**table, **more}), path)
    return path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_a_report_on_perfect_codes(identity: np.ndarray, grid: np.ndarray) -> None:
    report = evaluate(identity, grid, names=NAMES, pair=("hue", "size"), fast=True)
    for name in ("beta_vae", "factor_vae", "mig", "dci_disentanglement", "modularity", "infom"):
        assert report.scores[name] > 0.97
    assert report.scores["pair_entanglement"] < 0.02
    assert "tad" not in report.scores
    assert report.factors == tuple(NAMES)
    assert set(report.scores) < set(MEANINGS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.seed = 1  # type: ignore[misc]


def test_attributes_add_tad_and_still_factors_are_left_out(
    identity: np.ndarray, grid: np.ndarray
) -> None:
    shown = grid // 2 * [1, 1, 0, 1]
    report = evaluate(identity, shown, names=NAMES, fast=True)
    assert report.left_out == ("shape",)
    assert report.scores["tad_captured"] == 3
    assert "do not vary: shape" in str(report)


def test_the_dictionary_is_json_and_the_table_names_every_score(
    constant: np.ndarray, grid: np.ndarray
) -> None:
    report = evaluate(constant, grid, fast=True, seed=3)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert report.to_dict()["seed"] == 3
    assert all(name in str(report) for name in report.scores)
    assert report.scores["mig"] == report.scores["factor_vae"] == report.scores["mcc"] == 0


def test_arrays_that_cannot_be_scored_are_refused(identity: np.ndarray, grid: np.ndarray) -> None:
    with pytest.raises(DataError, match="no factor varies"):
        evaluate(identity, 0 * grid)
    with pytest.raises(DataError, match="two latents"):
        evaluate(identity[:, :1], grid)
    with pytest.raises(DataError, match="not finite"):
        evaluate(identity * np.nan, grid)
    with pytest.raises(DataError, match="names"):
        evaluate(identity, grid, names=["a", "b"])
    with pytest.raises(DataError, match="not a pair"):
        evaluate(identity, grid, names=NAMES, pair=("hue", "color"))
    rare = np.zeros_like(grid)
    _, held_out = split_rows(len(grid), seed=0, max_fit=2_000)
    rare[:, 0], rare[held_out[0], 1] = grid[:, 0], 1
    with pytest.raises(DataError, match="factor 1 does not vary over the images"):
        evaluate(identity, rare, fast=True)


@pytest.mark.parametrize("kind", [torch.tensor, np.ndarray.tolist, pd.DataFrame])
def test_tensors_lists_and_frames_are_arrays(
    kind: Callable[[np.ndarray], Any], identity: np.ndarray, grid: np.ndarray
) -> None:
    few, factors = identity[:300], grid[:300] % 2
    scores = evaluate(kind(few), kind(factors), fast=True).scores
    assert scores == pytest.approx(dict(evaluate(few, factors, fast=True).scores))


def test_what_is_no_number_and_what_is_too_little_is_refused(
    identity: np.ndarray, grid: np.ndarray
) -> None:
    with pytest.raises(DataError, match="factors are <U"):
        evaluate(identity, grid.astype(str))
    with pytest.raises(DataError, match="codes are complex128"):
        evaluate(identity * 1j, grid)
    with pytest.raises(DataError, match="6 images are too few"):
        evaluate(identity[:6], np.indices((2, 3)).reshape(2, -1).T)
    with pytest.raises(DataError, match="do not pair up"):
        evaluate(identity[:, 0], grid)


def test_more_or_fewer_latents_than_factors_and_float_factors(
    identity: np.ndarray, unrelated: np.ndarray, grid: np.ndarray
) -> None:
    codes, noise, factors = identity[:512], unrelated[:512], grid[:512]
    more = evaluate(np.hstack([codes, noise]), factors, fast=True)
    assert (more.num_latents, more.scores["mcc"]) == (8, pytest.approx(1, abs=0.01))
    fewer = evaluate(codes[:, :2], factors, fast=True)
    assert (fewer.num_latents, fewer.scores["mcc"]) == (2, pytest.approx(0.5, abs=0.01))
    real = np.random.default_rng(0).random((600, 2))
    assert evaluate(real, real, fast=True).scores["mig"] > 0.8


def test_the_command_prints_a_table_or_json(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(files[0]), str(files[1]), "--fast", "--pair", "hue", "size"]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "hue, size, shape, angle" in table
    assert "factor_vae" in table
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["factor_vae"] == 1


def test_the_module_runs_without_torch(files: tuple[Path, Path]) -> None:
    code = (
        "import sys; from gdrl.evaluation.__main__ import main; "
        f"status = main([{str(files[0])!r}, 'missing.parquet']); "
        "assert 'torch' not in sys.modules and 'ray' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: there is no file missing.parquet\n"


def test_files_that_do_not_fit_are_refused(
    files: tuple[Path, Path],
    tmp_path: Path,
    identity: np.ndarray,
    grid: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes, factors = files
    other = tmp_path / "other.parquet"
    write(other, NAMES, grid[:-1])
    assert "1536 rows" in complaint(capsys, codes, other)
    write(other, NAMES, 0 * grid)
    assert "no factor varies" in complaint(capsys, codes, other)
    broken = identity.copy()
    broken[3, 1] = np.inf
    write(other, list("abcd"), broken)
    assert "column 'b' has 1 values that are not finite" in complaint(capsys, other, factors)
    other.write_text("not parquet")
    assert "cannot be read as parquet" in complaint(capsys, other, factors)
    write(other, NAMES, grid, image=pa.array([b"png"] * len(grid)))
    assert "'image' is binary, neither number nor text" in complaint(capsys, codes, other)
    write(other, NAMES, grid, rare=pa.array([None, *grid[1:, 0]]))
    assert "'rare' has 1 missing values" in complaint(capsys, codes, other)
    files_of = pa.array([f"{i}.png" for i in range(len(grid))])
    write(other, NAMES, grid, file=files_of)
    assert "'file' has 1536 different texts" in complaint(capsys, codes, other)
    assert "'file' is string, not a number" in complaint(capsys, other, factors)
    write(other, NAMES, grid, __index_level_0__=pa.array(range(len(grid))))
    assert "write it with index=False" in complaint(capsys, other, factors)


def test_ids_must_be_the_same_and_text_is_a_factor(
    tmp_path: Path, identity: np.ndarray, grid: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = np.arange(len(grid))
    shapes = pa.array(np.array(["ball", "cube", "pill", "ring"])[grid[:, 3]]).dictionary_encode()
    codes = write(tmp_path / "codes.parquet", list("abcd"), identity, id=pa.array(ids))
    factors = write(
        tmp_path / "factors.parquet", NAMES[:3], grid[:, :3], id=pa.array(ids), angle=shapes
    )
    assert main([str(codes), str(factors), "--fast", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_latents"] == 4
    assert report["factors"] == NAMES
    write(factors, NAMES, grid, id=pa.array(ids[::-1]))
    assert "different ids" in complaint(capsys, codes, factors)


def test_text_that_would_be_binned_is_refused(
    tmp_path: Path, identity: np.ndarray, grid: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = write(tmp_path / "codes.parquet", list("abcd"), identity)
    shapes = np.array([f"shape {number:02d}" for number in range(12)])[np.arange(len(grid)) % 12]
    factors = write(tmp_path / "factors.parquet", NAMES, grid, form=pa.array(shapes))
    message = complaint(capsys, codes, factors, "--fast")
    assert "'form' has 12 different texts" in message
    assert "--fast takes at most 10: leave out --fast or the column" in message
    codes = write(codes, list("abcd"), identity[:20])
    factors = write(factors, NAMES, grid[:20], form=pa.array(shapes[:20]))
    assert "12 different texts, too many for a factor of 20 images; leave it out" in complaint(
        capsys, codes, factors
    )


def test_a_file_with_damaged_pages_is_named(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    codes, factors = files
    data = bytearray(codes.read_bytes())
    data[4:2_000] = bytes(1_996)
    codes.write_bytes(bytes(data))
    assert f"{codes} cannot be read as parquet" in complaint(capsys, codes, factors)
