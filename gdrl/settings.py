"""From a TOML recipe and ``section.key=value`` overrides to one frozen :class:`RunConfig`.

No environment variable has a say. Relative paths are resolved against the working directory here,
on the driver, so that every worker reads the same place.
"""

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gdrl.config import CELEBA, WORLDS, RunConfig
from gdrl.errors import ConfigError

Tree = dict[str, Any]


class Override(NamedTuple):
    """One ``section.key=value`` of the command line, parsed; ``text`` is what was typed."""

    path: tuple[str, ...]
    value: Any
    text: str


def load(recipe: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read ``recipe``, apply ``overrides`` in order, check everything.

    Raises:
        ConfigError: with one line for each setting that does not hold.
    """
    tree = _read(recipe)
    parsed = [parse_override(text) for text in overrides]
    for override in parsed:
        _set(tree, override)
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, recipe, parsed)) from error
    return _with_absolute_paths(config)


def parse_override(text: str) -> Override:
    """Parse ``a.b=value``: the value is TOML, or a bare string where it is no TOML value."""
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise ConfigError(f"override {text!r}: write section.key=value, as in recipe.vae.beta=8")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        if value.strip()[:1] in ('"', "'", "[", "{"):
            raise ConfigError(f"override {text!r}: the value is not valid TOML: {error}") from error
        return Override(path, value.strip(), text)
    return Override(path, parsed["value"] if len(parsed) == 1 else value, text)


def known_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the tree, sections included, in the order of their declaration."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")


def nearest(key: str, known: Sequence[str]) -> list[str]:
    """The known keys that ``key`` may stand for.

    Its full spelling counts first, then a misspelt last part, then a misspelt section.
    """
    if fuller := [other for other in known if other.endswith(f".{key}")]:
        return fuller
    section, _, last = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == section}
    if close := difflib.get_close_matches(last, siblings, n=1):
        return [siblings[close[0]]]
    return difflib.get_close_matches(key, known, n=1, cutoff=0.85)


def _read(recipe: Path) -> Tree:
    try:
        return tomllib.loads(recipe.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{recipe}: no such recipe; jobs/recipes/ holds some") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"{recipe}: not a TOML file: {error}") from error


def _set(tree: Tree, override: Override) -> None:
    *sections, last = override.path
    for depth, name in enumerate(sections, 1):
        section: Any = tree.setdefault(name, {})
        if not isinstance(section, dict):
            key = ".".join(sections[:depth])
            raise ConfigError(f"override {override.text!r}: {key} is a value, not a section")
        tree = section
    tree[last] = override.value


def _explain(error: ValidationError, recipe: Path, overrides: Sequence[Override]) -> str:
    """One line a fault: where it was written, which key, what is wrong, what was meant."""
    lines = []
    for fault in error.errors(include_url=False):
        path = tuple(str(part) for part in fault["loc"])
        origin = next((o for o in reversed(overrides) if _meet(path, o.path)), None)
        where = f"override {origin.text}" if origin else str(recipe)
        unknown = fault["type"] == "extra_forbidden"
        key = ".".join(origin.path if origin and unknown else path)
        lines.append(f"{where}: {_unknown(key) if unknown else _wrong(key, fault)}")
    return "\n".join(lines)


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one dotted key lies at or below the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _unknown(key: str) -> str:
    known = list(known_keys())
    if meant := nearest(key, known):
        return f"unknown key {key}; did you mean {' or '.join(meant)}?"
    section = key.rpartition(".")[0]
    siblings = [other for other in known if other.rpartition(".")[0] == section]
    return f"unknown key {key}; known here: {', '.join(siblings)}"


def _wrong(key: str, fault: ErrorDetails) -> str:
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    quote = f"; quote it: '\"{fault['input']}\"'" if fault["type"] == "string_type" else ""
    return f"{key}: {message}, not {fault['input']!r}{quote}"


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    recipe, dataset, mllm = config.recipe, config.recipe.dataset, config.recipe.mllm
    if dataset.source not in WORLDS:
        prefix = CELEBA if dataset.source.startswith(CELEBA) else ""
        source = prefix + _absolute(dataset.source.removeprefix(prefix))
        dataset = dataset.model_copy(update={"source": source})
    if mllm.model != "embedded" and not mllm.endpoint:
        mllm = mllm.model_copy(update={"model": _absolute(mllm.model)})
    recipe = recipe.model_copy(update={"dataset": dataset, "mllm": mllm})
    storage = _absolute(config.storage)
    return config.model_copy(update={"recipe": recipe, "storage": storage})


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path(location).expanduser().absolute())
