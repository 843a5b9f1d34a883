"""The page: everything read, then one template filled, then one file written."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gdrl.report import wording
from gdrl.report.factors import read_factors, read_first_names
from gdrl.report.figures.curves import draw_curves
from gdrl.report.figures.graph_drawing import draw_graph
from gdrl.report.figures.heatmap import draw_heatmaps
from gdrl.report.figures.pictures import embed_if_present
from gdrl.report.headline import write_headline
from gdrl.report.interventions import read_interventions
from gdrl.report.record import read_record, read_respondent
from gdrl.report.relations import read_relations
from gdrl.report.sources import Sources, finite

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "figures.css", "small.css")
"""In the order in which they apply: small screens and paper overrule the rest."""


def write_report(
    out: Path,
    *,
    run: str,
    artifacts: Mapping[str, Path],
    manifests: Mapping[str, dict[str, Any]],
) -> None:
    """Write ``out/index.html``: one file with no address in it, to be opened from anywhere.

    ``artifacts`` maps names (``dataset``, ``vae`` or ``encoders`` and ``components``, ``scores``,
    ``names``, ``graph``, ``disgraph``, ``evaluation``) to their folders, ``manifests`` to their
    manifests. What is missing is said to
    be missing. Raises what reading a damaged file raises (``JSONDecodeError``, ``OSError``).
    """
    sources = Sources(artifacts, manifests)
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(render(run, sources), encoding="utf-8")


def render(run: str, sources: Sources) -> str:
    """The page as text; every value is escaped by the template engine."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=wording.number,
        signed=wording.signed,
        percent=wording.percent,
        compact=wording.compact,
        readable=wording.readable,
        words=wording.words,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)
    template = environment.get_template("page.html")
    return template.render(
        run=run,
        script=script,
        script_hash=_script_hash(script),
        style=style,
        **_findings(sources),
    )


def _findings(sources: Sources) -> dict[str, Any]:
    """What the artifacts say, section by section."""
    relations = read_relations(sources)
    factors = read_factors(sources)
    dataset = sources.json("dataset", "dataset.json")
    evaluation = sources.json("evaluation", "evaluation.json")
    attributes = _attributes(sources, relations.names if relations else [])
    return {
        "dataset": dataset,
        "headline": write_headline(sources, relations, factors, len(attributes)),
        "relations": relations,
        "drawing": draw_graph(relations, factors.attributes) if relations else None,
        "heatmaps": draw_heatmaps(relations) if relations else None,
        "factors": factors,
        "first_names": read_first_names(sources),
        "interventions": read_interventions(sources),
        "errors": _errors(evaluation, sources.extractor),
        "reconstructions": embed_if_present(
            sources.file("evaluation", "reconstructions.png"), lossless=True
        ),
        "extractor": sources.extractor,
        "curves": [
            (title, draw_curves(sources.json_lines(artifact, "metrics.jsonl")))
            for artifact, title in _trained(sources).items()
        ],
        "respondent": read_respondent(sources),
        "record": read_record(sources),
    }


def _trained(sources: Sources) -> dict[str, str]:
    """Artifacts whose training is drawn, and what to call them."""
    pairs = {} if sources.is_pretrained else {"encoders": "Encoders of images and answers"}
    contrastive = {**pairs, "components": "Decoder of components"}
    extracting = contrastive if sources.is_contrastive else {"vae": "β-VAE"}
    return {**extracting, "disgraph": "DisGraph"}


def _errors(evaluation: dict[str, Any], extractor: str) -> list[tuple[str, float]]:
    """What the two models get wrong on images that no training stage saw."""
    metrics = evaluation.get("metrics") or {}
    labels = {
        "extractor_mse": f"{extractor} error (MSE)",
        "mse": "DisGraph error (MSE)",
        "psnr": "PSNR, dB",
    }
    found = ((label, finite(metrics.get(name))) for name, label in labels.items())
    return [(label, value) for label, value in found if value is not None]


def _attributes(sources: Sources, graph_names: list[str]) -> list[str]:
    """The names asked about, from the first artifact that lists them."""
    for artifact, name in [("evaluation", "evaluation.json"), ("scores", "scores.json")]:
        attributes = sources.json(artifact, name).get("attributes")
        if attributes:
            return list(attributes)
    return graph_names or list(sources.json("dataset", "dataset.json").get("attributes") or [])


def _script_hash(script: str) -> str:
    """The page's own script is the only one its content security policy lets run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
