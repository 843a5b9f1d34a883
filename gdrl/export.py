"""``gdrl export``: what a run finished, as files in a folder that is itself a storage."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from gdrl.artifacts import LocalStore, Manifest, Run
from gdrl.artifacts.store import on_disk
from gdrl.errors import ArtifactExists, ConfigError
from gdrl.pipeline import STAGE_OF


def export(run: Run, folder: str) -> Iterator[str]:
    """Copy each finished artifact into ``folder`` and check it there.

    An artifact appears whole or not at all, so an interrupted export goes on where it was.

    Yields:
        A line on each artifact; last of all the report's address.

    Raises:
        ConfigError: ``folder`` is a URI.
        ArtifactExists: ``folder`` holds another artifact of that name; it is left as it is.
        ArtifactCorrupt: naming the file that differs from its manifest, here or there.
    """
    if "://" in folder:
        raise ConfigError(f"DIR = {folder!r}: DIR is a folder on this machine; name one")
    target = Run(LocalStore(Path(folder).absolute()), run.name)
    for artifact in STAGE_OF:
        manifest = run.manifest(artifact)
        if manifest is None:
            continue
        present = _is_there(target, manifest)
        if not present:
            _copy(run, manifest, target)
        target.open(artifact)
        word = "there" if present else "copied"
        yield f"{word:<7} {target.store.location(f'{run.name}/{artifact}')}"
    if target.manifest("report"):
        yield str(target.address("report", "index.html"))


def _is_there(target: Run, manifest: Manifest) -> bool:
    present = target.manifest(manifest.artifact)
    if present not in (None, manifest):
        raise ArtifactExists(
            f"{target.store.location(f'{target.name}/{manifest.artifact}')} is another artifact "
            "of that name; choose another folder, or delete it"
        )
    return present is not None


def _copy(run: Run, manifest: Manifest, target: Run) -> None:
    source = run.fetch(manifest)
    out = target.begin(manifest.artifact, manifest.stage)
    for entry in manifest.files:
        file = out.path / entry.path
        with on_disk(out.path, "make room there, or choose another folder"):
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / entry.path, file)
    target.commit(out, manifest)
