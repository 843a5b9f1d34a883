"""What every section of settings is, and the numbers that they hold."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _endpoint(url: str) -> str:
    """Empty, or a URL that may be stored with results."""
    if "@" in url:
        raise ValueError(
            "the URL holds a name or password, and settings are stored with results; give them in "
            "the environment (OPENAI_API_KEY; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError(f"{url!r} is no http:// or https:// URL; write http://host:port")
    return url


Endpoint = Annotated[str, AfterValidator(_endpoint)]


def repeated(names: Sequence[str]) -> str:
    """The first of ``names`` that is there before; empty where each is there once."""
    return next((name for place, name in enumerate(names) if name in names[:place]), "")


class Section(BaseModel):
    """A frozen section of settings that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
