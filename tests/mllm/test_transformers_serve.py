"""The embedded model behind ``transformers serve``: HTTP against a server we did not write."""

import numpy as np

from gdrl.data.faces import ATTRIBUTES, render, sample_factors
from gdrl.data.pictures import encode_png
from gdrl.mllm import embedded
from gdrl.mllm.openai_engine import OpenAIEngine
from gdrl.mllm.questions import expectation, naming_query, score_query


def test_it_answers_over_http_as_in_process(endpoint: str) -> None:
    engine = OpenAIEngine(endpoint, str(embedded.directory()), concurrency=1)
    factors = sample_factors(4, 11, independent=True)
    images = [encode_png(render(row, (11, i))) for i, row in enumerate(factors)]
    queries = [score_query(image, name) for image in images for name in ATTRIBUTES[:4]]
    answers = engine.answer(queries)
    assert [answer.status for answer in answers] == ["ok"] * len(queries)
    levels = np.array([expectation(answer) for answer in answers]).reshape(4, 4)
    assert ((levels > 2.5) == factors[:, :4]).mean() > 0.9


def test_it_takes_two_pictures_over_http(endpoint: str) -> None:
    engine = OpenAIEngine(endpoint, str(embedded.directory()), concurrency=1)
    image = encode_png(render(sample_factors(1, 11)[0], 11))
    (answer,) = engine.answer([naming_query([image, image], ATTRIBUTES)])
    assert answer.status == "ok", answer.reason
