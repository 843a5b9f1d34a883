"""The page says what the artifacts say, escapes what they hold, and stands alone."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gdrl.data.pictures import slug
from gdrl.report.page import write_report
from tests.report.conftest import NAMES, Run

HOSTILE = "<script>alert(1)</script>"
SECTIONS = [
    "found",
    "graph",
    "matrix",
    "factors",
    "slider",
    "pictures",
    "training",
    "record",
    "limits",
]


class Page(HTMLParser):
    """The parts of a page that tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += " ".join(data.split()) + " "

    def all(self, tag: str, class_name: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (not class_name or class_name in attributes.get("class", "").split())
        ]


def page_of(run: Run, out: Path) -> Page:
    write_report(out, run="demo", artifacts=run.artifacts, manifests=run.manifests)
    return Page((out / "index.html").read_text(encoding="utf-8"))


def test_the_page_has_every_section_and_nothing_missing(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    visible = [p for p in page.all("p", "missing") if "hidden" not in p]
    assert len(visible) == 1  # the one inside <noscript>


def test_the_headline_is_built_from_the_numbers(run: Run, tmp_path: Path) -> None:
    text = page_of(run, tmp_path).text
    assert "From 8,000 synthetic images" in text
    assert "5 of 5 attributes" in text
    assert "AUROC of 0.992" in text
    assert "“bald”, “beard” is more likely (+0." in text
    assert "0.87 times the error of the β-VAE before it" in text
    assert "(1,490 training steps in the joint stage, 1,490 before)" in text
    assert "training steps 1,490 : 1,490" in text


def test_edges_carry_weight_interval_and_support(run: Run, tmp_path: Path) -> None:
    edges = page_of(run, tmp_path).all("g", "edge")
    strongest = next(edge for edge in edges if edge["data-name"] == "bald → beard")
    assert "measured +0." in strongest["data-text"]
    assert "interval 0." in strongest["data-text"]
    assert "images behind it" in strongest["data-text"]


def test_the_matrix_stands_beside_refined_and_truth(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    assert [table["data-map"] for table in page.all("table", "heatmap")] == [
        "Measured",
        "Refined",
        "Truth",
    ]
    assert len([cell for cell in page.all("td") if "data-cell" in cell]) == 3 * len(NAMES) ** 2


def test_disagreement_between_witnesses_is_shown(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    assert page.all("span", "disagree")
    assert len(page.all("span", "agree")) == 2 * (
        len(NAMES) - 1
    )  # before and after the joint stage
    assert "2 latents without a name" in page.text


def test_a_hostile_name_stays_text(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run((HOSTILE, '"><img src=x onerror=alert(1)>', "smiling"))
    page = page_of(run, tmp_path)
    assert len(page.all("script")) == 2
    assert HOSTILE not in page.source
    assert HOSTILE in page.text
    assert not [image for image in page.all("img") if "onerror" in image]
    payload = page.source.split('id="interventions">')[1].split("</script>")[0]
    assert json.loads(payload)["names"][0] == HOSTILE


def test_nothing_is_fetched_from_elsewhere(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    addresses = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "srcset", "data", "action", "poster")
        if name in attributes
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    style = page.source.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page.source


def test_images_have_a_text_and_the_file_stays_small(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    assert all(image.get("alt") for image in page.all("img"))
    assert len(page.source) < 2_000_000


@pytest.mark.parametrize(
    "gone",
    [
        ("evaluation",),
        ("graph", "disgraph", "evaluation"),
        ("names",),
        ("scores",),
        ("vae", "disgraph"),
        ("dataset", "vae", "scores", "names", "graph", "disgraph", "evaluation"),
    ],
)
def test_a_missing_artifact_is_said_to_be_missing(
    run: Run, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    page = page_of(run.without(*gone), tmp_path)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    if gone != ("names",):
        assert len(page.all("p", "missing")) >= 2


def test_another_extractor_is_called_by_its_name(run: Run, tmp_path: Path) -> None:
    page = page_of(run, tmp_path)
    assert "contrastive ICA" not in page.text
    for made in ("encoders", "components"):
        run.artifacts[made] = run.artifacts["vae"]
    page = page_of(run.without("vae"), tmp_path)
    assert "β-VAE" not in page.text
    assert "2 by the contrastive ICA alone" in page.text
    titles = ["Encoders of images and answers", "Decoder of components", "DisGraph"]
    assert [title for title in titles if title in page.text] == titles
    (run.artifacts["components"] / "unmixing.json").write_text('{"method": "random_rotation"}')
    assert (
        "2 by the contrastive random rotation alone" in page_of(run.without("vae"), tmp_path).text
    )
    (run.artifacts["encoders"] / "features.parquet").touch()
    page = page_of(run.without("vae"), tmp_path)
    assert "2 by the random rotation alone" in page.text
    assert "Encoders of images" not in page.text


def test_photographs_have_no_truth_and_the_page_says_so(run: Run, tmp_path: Path) -> None:
    evaluation = json.loads((run.artifacts["evaluation"] / "evaluation.json").read_text())
    graph = evaluation["graph"] | {"truth": None}
    run.edit("evaluation", "evaluation.json", graph=graph, interventions=None)
    run.edit("dataset", "dataset.json", kind="folder", truth=None)
    page = page_of(run, tmp_path)
    assert "come without a known truth" in page.text
    assert "no known truth to put beside it" in page.text
    assert [table["data-map"] for table in page.all("table", "heatmap")] == ["Measured", "Refined"]
    assert "nothing to move" in page.text


def test_images_outside_the_embedded_domain_open_with_a_warning(run: Run, tmp_path: Path) -> None:
    assert not page_of(run, tmp_path).all("aside", "banner")
    domain = {"checked": True, "outside_fraction": 0.97, "message": "These look like photographs."}
    run.edit("scores", "scores.json", domain=domain)
    page = page_of(run, tmp_path)
    assert page.all("aside", "banner")
    assert "97 % lie outside" in page.text
    assert "These look like photographs." in page.text


def test_weights_that_are_not_known_stay_blank(run: Run, tmp_path: Path) -> None:
    graph = json.loads((run.artifacts["graph"] / "graph.json").read_text())
    graph["adjacency"][4] = [float("nan")] * len(NAMES)
    run.edit("graph", "graph.json", adjacency=graph["adjacency"])
    page = page_of(run, tmp_path)
    assert len(page.all("td", "unknown")) == len(NAMES) - 1
    assert "nan" not in page.text.lower().split()


def test_the_same_artifacts_give_the_same_page(run: Run, tmp_path: Path) -> None:
    assert page_of(run, tmp_path / "a").source == page_of(run, tmp_path / "b").source


def test_magnitudes_are_not_read_as_more_or_less(run: Run, tmp_path: Path) -> None:
    graph = json.loads((run.artifacts["graph"] / "graph.json").read_text())
    sizes = {key: [[abs(v) for v in row] for row in graph[key]] for key in ("adjacency", "upper")}
    run.edit("graph", "graph.json", signed=False, **sizes)
    text = page_of(run, tmp_path).text
    assert "how strongly, not which way" in text
    assert "more likely (+" not in text


def test_effects_in_another_shape_than_their_names_are_refused(run: Run, tmp_path: Path) -> None:
    evaluation = json.loads((run.artifacts["evaluation"] / "evaluation.json").read_text())
    evaluation["interventions"]["names"].pop()
    run.edit("evaluation", "evaluation.json", interventions=evaluation["interventions"])
    with pytest.raises(ValueError, match="predicted is 5 x 5 for 4 names"):
        page_of(run, tmp_path)


def test_an_attribute_without_a_picture_is_not_offered(run: Run, tmp_path: Path) -> None:
    sprite = f"interventions/{slug('dark_glasses')}.png"
    (run.artifacts["evaluation"] / sprite).unlink()
    offered = [option["value"] for option in page_of(run, tmp_path).all("option")]
    assert offered == [name for name in NAMES if name != "dark_glasses"]
