"""Qwen, Gemma and SmolVLM: another path in the recipe, and nothing else."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from gdrl.config import MLLMRecipe
from gdrl.errors import ConfigError
from gdrl.mllm.open import open_engine
from gdrl.mllm.proposals import proposal_query
from gdrl.mllm.questions import LEVELS, naming_query, score_query
from tests.mllm import architectures

needs_num2words = pytest.mark.skipif(
    importlib.util.find_spec("num2words") is None, reason="SmolVLM's processor needs num2words"
)


@pytest.mark.parametrize(
    "write",
    [
        architectures.write_qwen3_vl,
        architectures.write_qwen2_5_vl,
        architectures.write_gemma3,
        pytest.param(architectures.write_smolvlm, marks=needs_num2words),
    ],
)
def test_it_answers_by_its_path_and_alone_as_in_a_batch(
    write: Callable[[Path], None], tmp_path: Path, images: list[bytes]
) -> None:
    write(tmp_path / "model")
    engine = open_engine(MLLMRecipe(model=str(tmp_path / "model")), batch_size=4)
    queries = [score_query(image, name) for image in images[:2] for name in ("hat", "grey hair")]
    queries.append(naming_query(images[:2], ["hat", "grey hair", "glasses"]))
    together = engine.answer(queries)
    for query, answer in zip(queries, together, strict=True):
        (alone,) = engine.answer([query])
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-4)
        assert sum(answer.probabilities or ()) == pytest.approx(1)
    (open_answer,) = engine.answer([proposal_query(images[0])])
    assert (open_answer.status, open_answer.probabilities) == ("ok", ())
    hat, other_picture = together[0].probabilities, together[2].probabilities
    assert len(hat or ()) == len(LEVELS)
    assert hat != pytest.approx(other_picture, abs=1e-4), "it looks at the picture"


def test_a_package_that_a_processor_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    architectures.write_smolvlm(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"recipe\.mllm\.model.*num2words"):
        open_engine(MLLMRecipe(model=str(tmp_path / "model")))
