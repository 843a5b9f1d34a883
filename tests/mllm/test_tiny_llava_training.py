import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from numpy import ndarray

from gdrl.data.faces import ATTRIBUTES, STYLES
from gdrl.mllm.questions import naming_query, score_query
from gdrl.mllm.transformers_engine import TransformersEngine
from gdrl.training.tiny_llava import lessons
from gdrl.training.tiny_llava.degrade import LinearAutoencoder, degrade, to_pixels, to_uint8
from gdrl.training.tiny_llava.scenes import BASE, NUISANCE, Scenes, render_scenes

JOB = Path(__file__).parents[2] / "jobs" / "train_tiny_mllm.py"


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return render_scenes(24, seed=5)


def test_a_scene_is_a_face_its_flips_and_its_nuisance_variant(scenes: Scenes) -> None:
    assert set(scenes.styles) == set(range(len(STYLES)))
    for factors, flipped in zip(scenes.factors, scenes.flipped, strict=True):
        assert np.array_equal(factors[BASE], factors[NUISANCE])
        for flip, attribute in enumerate(flipped):
            assert np.flatnonzero(factors[BASE] != factors[flip + 1]).tolist() == [attribute]


def test_scenes_follow_their_seed(scenes: Scenes) -> None:
    again = render_scenes(4, seed=5)
    assert np.array_equal(again.pictures, scenes.pictures[:4])
    assert not np.array_equal(render_scenes(4, seed=6).pictures, again.pictures)


def test_levels_run_from_absent_to_unmistakable(scenes: Scenes) -> None:
    shown = lessons.presence(scenes, 200, np.random.default_rng(0))
    levels = shown.levels.numpy()
    assert (levels.min(), levels.max()) == (0, lessons.MAX_LEVEL)
    assert (((levels > 0) & (levels < lessons.MAX_LEVEL)).sum(axis=1) <= 1).all()


def test_answers_of_strips_are_options_or_none_of_these(scenes: Scenes) -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        strips = lessons.strips(scenes, 16, generator)
        assert set(strips.options) <= set(ATTRIBUTES)
        assert int(strips.answers.max()) <= len(strips.options)
        assert strips.frames.shape == (16, 2, 64, 64, 3)
        assert strips.frames.min() >= 0
        assert strips.frames.max() <= 255


def test_degrading_changes_pictures_but_not_their_kind(scenes: Scenes) -> None:
    pixels = to_pixels(scenes.pictures[:8, :2])
    worse = degrade(pixels, LinearAutoencoder(scenes), np.random.default_rng(0), max_ghost=0.9)
    assert worse.shape == pixels.shape
    assert not worse.equal(pixels)
    assert float((worse - pixels).abs().mean()) < 0.2


def test_pixels_and_bytes_are_inverse(faces: UInt8[ndarray, "4 64 64 3"]) -> None:
    assert np.array_equal(to_uint8(to_pixels(faces)), faces)


def test_the_job_trains_writes_and_measures_a_model(
    tmp_path: Path,
    images: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "model"
    sizes = "--scenes 16 --vision-steps 1 --answer-steps 1 --held-out 6 --images 40 --processes 1"
    monkeypatch.setattr(sys, "argv", [str(JOB), "--out", str(out), *sizes.split()])
    runpy.run_path(str(JOB), run_name="__main__")
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= figures[f"presence {STYLES[0]}"] <= 1
    assert "| naming" in (out / "README.md").read_text("utf-8")
    queries = [score_query(images[0], "hat"), naming_query(images[:2], ATTRIBUTES)]
    answers = TransformersEngine(out).answer(queries)
    assert [answer.status for answer in answers] == ["ok", "ok"]


def test_the_job_refuses_before_it_loads_anything(tmp_path: Path) -> None:
    program = f"import sys, runpy; sys.argv = ['job', '--evaluate', {str(tmp_path)!r}]\n"
    program += f"try: runpy.run_path({str(JOB)!r}, run_name='__main__')\n"
    program += "finally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "holds no model" in done.stderr
    assert done.stdout.strip() == "False"
