"""Latents and what two witnesses say each of them means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gdrl.report.figures.pictures import Picture, embed_if_present
from gdrl.report.sources import Sources, finite
from gdrl.report.wording import percent


@dataclass(frozen=True)
class Factor:
    """One latent: its name by the scores, the strip's verdict, and the strip itself."""

    index: int
    attribute: str | None
    strength: float | None
    sign: int
    auroc: float | None
    witness: str | None
    witness_probability: float | None
    was_witnessed: bool
    agree: bool
    strip: Picture | None

    @property
    def verdict(self) -> str:
        """``agree``, ``disagree``, or ``alone`` where the strip was never shown to the MLLM."""
        if not self.was_witnessed:
            return "alone"
        return "agree" if self.agree else "disagree"

    @property
    def witness_text(self) -> str:
        """What the MLLM answered when it saw the strip."""
        if not self.was_witnessed:
            return "not asked"
        answer = f"“{self.witness}”" if self.witness else "none of these"
        if self.witness_probability is None:
            return answer
        return f"{answer}, {percent(self.witness_probability)} sure"


@dataclass(frozen=True)
class Factors:
    """Latents with a name, strongest first, and those without."""

    named: list[Factor]
    unnamed: list[Factor]

    @property
    def num_agreeing(self) -> int:
        """Named latents on which both witnesses agree."""
        return sum(factor.verdict == "agree" for factor in self.named)

    @property
    def attributes(self) -> set[str]:
        """Attributes that some latent carries."""
        return {factor.attribute for factor in self.named if factor.attribute}


def read_factors(sources: Sources) -> Factors:
    """The latents after joint training, as ``evaluation`` measured them on held-out images."""
    latents = sources.json("evaluation", "evaluation.json").get("latents") or []
    return _sorted([_factor(sources, latent, "evaluation", "traversals") for latent in latents])


def read_first_names(sources: Sources) -> Factors:
    """The latents of the unsupervised model, as ``match_latents`` named them."""
    latents = sources.json("names", "names.json").get("latents") or []
    return _sorted([_factor(sources, latent, "names", "strips") for latent in latents])


def _factor(sources: Sources, latent: Mapping[str, Any], artifact: str, folder: str) -> Factor:
    index = int(latent["index"])
    witness = latent.get("witness")
    return Factor(
        index=index,
        attribute=latent.get("attribute"),
        strength=finite(latent.get("strength")),
        sign=-1 if (finite(latent.get("sign")) or 1) < 0 else 1,
        auroc=finite(latent.get("auroc")),
        witness=(witness or {}).get("attribute"),
        witness_probability=finite((witness or {}).get("probability")),
        was_witnessed=witness is not None,
        agree=bool(latent.get("agree")),
        strip=embed_if_present(sources.file(artifact, f"{folder}/latent-{index:02d}.png")),
    )


def _sorted(factors: list[Factor]) -> Factors:
    named = [factor for factor in factors if factor.attribute]
    named.sort(key=lambda factor: (-(factor.auroc or 0), -(factor.strength or 0), factor.index))
    return Factors(named, [factor for factor in factors if not factor.attribute])
