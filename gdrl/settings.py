"""From a TOML recipe and ``section.key=value`` overrides to one frozen :class:`RunConfig`.

No environment variable has a say. Relative paths are resolved against the working directory here,
on the driver, so that every worker reads the same place.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gdrl.config import CELEBA, WORLDS, RunConfig
from gdrl.errors import ConfigError

Tree = dict[str, Any]

RAYS_COPIES = "working_dir_files"
"""The folder below which Ray lays out what ``ray job submit --working-dir`` uploads; how the folder
above it is called can be set. Nothing of it but the working directory itself names the copy."""


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
        raise ConfigError(_explain(error, tree, recipe, parsed)) from error
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
    """Every dotted key of the tree, sections included, in the order of their declaration.

    What a list of sections holds follows the list's own key and ``[]``.
    """
    for name, field in model.model_fields.items():
        yield prefix + name
        kinds = [(field.annotation, "."), *((kind, "[].") for kind in get_args(field.annotation))]
        for kind, below in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from known_keys(kind, f"{prefix}{name}{below}")


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


def _explain(
    error: ValidationError, tree: Tree, recipe: Path, overrides: Sequence[Override]
) -> str:
    """One line a fault: where it was written, which key, what is wrong, what was meant."""
    lines = []
    for fault in error.errors(include_url=False):
        path = tuple(str(part) for part in fault["loc"])
        origin = next((o for o in reversed(overrides) if _meet(path, o.path)), None)
        where = f"override {origin.text}" if origin else str(recipe)
        unknown = fault["type"] == "extra_forbidden"
        loc = origin.path if origin and unknown else fault["loc"]
        key = _key(loc, tree)
        lines.append(f"{where}: {_unknown(key) if unknown else _wrong(key, fault)}")
    return "\n".join(lines)


def _key(loc: Sequence[str | int], tree: Any) -> str:
    """A dotted key; an item of a list by its ``name``, else by its number from 0."""
    key = ""
    for step in loc:
        is_item = isinstance(tree, list) and isinstance(step, int)
        tree = tree[step] if is_item or (isinstance(tree, dict) and step in tree) else None
        name = tree.get("name", step) if is_item and isinstance(tree, dict) else step
        key += f"[{name}]" if is_item else f".{step}"
    return key.removeprefix(".")


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one dotted key lies at or below the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _unknown(key: str) -> str:
    known = list(known_keys())
    plain = re.sub(r"\[[^]]*\]", "[]", key)
    if meant := nearest(plain, known):
        return f"unknown key {key}; did you mean {' or '.join(meant)}?"
    section = plain.rpartition(".")[0]
    siblings = [other for other in known if other.rpartition(".")[0] == section]
    return f"unknown key {key}; known here: {', '.join(siblings)}"


def _wrong(key: str, fault: ErrorDetails) -> str:
    if fault["type"] == "value_error":
        text = str(fault["ctx"]["error"])
        return text if text.startswith(key) else f"{key}: {text}"
    if fault["type"] == "missing":
        return f"{key} is missing"
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    quote = f"; quote it: '\"{fault['input']}\"'" if fault["type"] == "string_type" else ""
    return f"{key}: {message}, not {fault['input']!r}{quote}"


def _with_absolute_paths(config: RunConfig) -> RunConfig:
    recipe, dataset, mllm = config.recipe, config.recipe.dataset, config.recipe.mllm
    if dataset.source not in WORLDS:
        prefix = CELEBA if dataset.source.startswith(CELEBA) else ""
        source = prefix + _absolute(dataset.source.removeprefix(prefix))
        dataset = dataset.model_copy(update={"source": source})
    if not (mllm.is_embedded or mllm.endpoint):
        mllm = mllm.model_copy(update={"model": _absolute(mllm.model)})
    encoders = recipe.encoders
    if encoders.model:
        encoders = encoders.model_copy(update={"model": _absolute(encoders.model)})
    parts = {"dataset": dataset, "mllm": mllm, "encoders": encoders}
    recipe = recipe.model_copy(update=parts)
    files = {"ca_file": config.s3.ca_file, "cache": config.s3.cache}
    s3 = config.s3.model_copy(update={k: _absolute(path) for k, path in files.items() if path})
    storage = _lasting(_absolute(config.storage))
    return config.model_copy(update={"recipe": recipe, "storage": storage, "s3": s3})


def _lasting(storage: str) -> str:
    """``storage``, unless it is in the copy of a working directory that Ray made for a job."""
    if RAYS_COPIES in Path(storage).parts:
        raise ConfigError(
            f"storage: {storage} is in Ray's own copy of the working directory, which Ray deletes "
            "after the job; name an absolute folder that all nodes see, or s3://bucket/prefix"
        )
    return storage


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path(location).expanduser().absolute())
