import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_artifact import describe, fill, finish

from gdrl import export
from gdrl.artifacts import Artifact, LocalStore, Run, Store
from gdrl.errors import ArtifactCorrupt

Gdrl = Callable[..., str]


KILLED = """
import os, shutil, signal, sys
from gdrl import cli
copy, copied = shutil.copyfile, []
def copy_or_die(source, target):
    copied.append(copy(source, target))
    if len(copied) == 3:  # the first of the report's two files
        os.kill(os.getpid(), signal.SIGKILL)
shutil.copyfile = copy_or_die
cli.gdrl(sys.argv[1:])
"""


def finish_report(run: Run) -> None:
    out = run.begin("report", "report")
    run.commit(out, fill(out))


def bytes_below(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_exported_run_is_a_run(filled: Store, gdrl: Gdrl, tmp_path: Path) -> None:
    run = Run(filled, "demo")
    finish(run)
    finish_report(run)
    folder = tmp_path / "out"
    assert gdrl("export", "demo", str(folder)).splitlines() == [
        f"copied  {folder}/demo/vae",
        f"copied  {folder}/demo/report",
        f"{folder}/demo/report/index.html",
    ]
    copy = Run(LocalStore(folder), "demo")
    assert copy.finished("vae") == run.finished("vae")
    assert (copy.open("vae") / "deep/model.txt").read_text() == "a model"
    assert (folder / "demo/report/index.html").read_text() == "<p>"


def test_a_second_export_finds_everything_there(filled: Store, gdrl: Gdrl, tmp_path: Path) -> None:
    finish(Run(filled, "demo"))
    gdrl("export", "demo", str(tmp_path / "out"))
    before = bytes_below(tmp_path / "out")
    assert gdrl("export", "demo", str(tmp_path / "out")).startswith("there ")
    assert bytes_below(tmp_path / "out") == before


def test_another_artifact_of_that_name_is_left_alone(
    filled: Store, gdrl: Gdrl, tmp_path: Path
) -> None:
    finish(Run(filled, "demo"))
    finish(Run(LocalStore(tmp_path / "out"), "demo"), "another model")
    before = bytes_below(tmp_path / "out")
    said = gdrl("export", "demo", str(tmp_path / "out"), code=1)
    assert f"{tmp_path}/out/demo/vae is another artifact of that name" in said
    assert bytes_below(tmp_path / "out") == before


def test_a_killed_export_goes_on(store: LocalStore, tmp_path: Path) -> None:
    run = Run(store, "demo")
    finish(run)
    finish_report(run)
    arguments = ["export", "demo", str(tmp_path / "out"), "--storage", str(store.root)]
    command = [sys.executable, "-c", KILLED, *arguments]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == f"copied  {tmp_path}/out/demo/vae\n"
    assert Run(LocalStore(tmp_path / "out"), "demo").manifest("report") is None
    vae, report, _ = export.export(run, str(tmp_path / "out"))
    assert (vae.split()[0], report.split()[0]) == ("there", "copied")


def test_a_manifest_chooses_no_folder(filled: Store, gdrl: Gdrl, tmp_path: Path) -> None:
    theirs = tmp_path / "x"
    theirs.mkdir()
    (theirs / "thesis.txt").touch()
    manifest = describe(Artifact("vae", tmp_path / "none", filled.location("")))
    content = json.loads(manifest.model_dump_json()) | {"artifact": "../../x"}
    filled.create("demo/vae/manifest.json", json.dumps(content).encode())
    assert "is no manifest" in gdrl("export", "demo", str(tmp_path / "out"), code=1)
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_the_target_is_a_folder_of_this_machine(filled: Store, gdrl: Gdrl) -> None:
    finish(Run(filled, "demo"))
    said = gdrl("export", "demo", "s3://elsewhere/x", code=1)
    assert "DIR = 's3://elsewhere/x': DIR is a folder on this machine" in said


def test_a_changed_file_is_named_rather_than_exported(tmp_path: Path, store: LocalStore) -> None:
    run = Run(store, "demo")
    (finish(run) / "deep/model.txt").write_text("a modem")
    with pytest.raises(ArtifactCorrupt, match=r"demo/vae/deep/model\.txt"):
        list(export.export(run, str(tmp_path / "out")))
    assert Run(LocalStore(tmp_path / "out"), "demo").manifest("vae") is None
