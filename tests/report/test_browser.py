"""The page in a real browser: its script runs, under the page's own security policy."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gdrl.report.page import write_report
from tests.report.conftest import Run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DRIVER = """
<script>
  const choose = (selector, value, kind) => {
    const element = document.querySelector(selector);
    element.value = value;
    element.dispatchEvent(new Event(kind));
  };
  choose("#threshold", "0.5", "input");
  document.querySelector('input[value="truth"]').click();
  document.querySelector(".node").dispatchEvent(new MouseEvent("click", { bubbles: true }));
  choose("#attribute", "smiling", "change");
  choose("#level", "8", "input");
  document.querySelector("#propagate").click();
  document.querySelectorAll("input[name=face]")[2].click();
  const cell = document.querySelector("td.positive");
  cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
</script>
"""

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium on PATH (apt-get install chromium)"
)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Path], str]:
    """Opens a page and returns its elements after the script has run."""

    def open_page(path: Path) -> str:
        command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        done = subprocess.run(
            [*command, path.as_uri()], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    return open_page


@pytest.fixture
def page(run: Run, tmp_path: Path) -> Path:
    write_report(tmp_path, run="demo", artifacts=run.artifacts, manifests=run.manifests)
    return tmp_path / "index.html"


def test_the_script_runs_without_an_error(page: Path, opened: Callable[[Path], str]) -> None:
    elements = opened(page)
    body = re.search(r"<body[^>]*>", elements)
    assert body is not None
    assert 'data-ready="true"' in body[0]
    assert "data-error" not in body[0]
    assert re.search(r'id="level-value"[^>]*>0.50<', elements)
    assert "--sprite: url(" in elements


def test_an_unfinished_run_opens_without_an_error(
    run: Run, tmp_path: Path, opened: Callable[[Path], str]
) -> None:
    early = run.without("names", "graph", "disgraph", "evaluation")
    write_report(tmp_path, run="early", artifacts=early.artifacts, manifests=early.manifests)
    body = re.search(r"<body[^>]*>", opened(tmp_path / "index.html"))
    assert body is not None
    assert 'data-ready="true"' in body[0]
    assert "data-error" not in body[0]


def test_what_no_latent_carries_is_named_and_has_no_bar(
    run: Run, tmp_path: Path, opened: Callable[[Path], str]
) -> None:
    for picture in (run.artifacts["evaluation"] / "interventions").glob("smiling*.png"):
        picture.unlink()
    write_report(tmp_path, run="demo", artifacts=run.artifacts, manifests=run.manifests)
    elements = opened(tmp_path / "index.html")
    effects = elements.split('<ul id="effects"')[1].split("</ul>")[0]
    assert "beard" in effects
    assert "smiling" not in effects
    assert "No latent carries smiling, so no picture shows it move." in elements


def test_sliders_switches_and_nodes_answer(page: Path, opened: Callable[[Path], str]) -> None:
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)
    assert policy is not None
    driven = page.with_name("driven.html")
    driven.write_text(text.replace(policy[0], "").replace("</body>", DRIVER + "</body>"))
    elements = opened(driven)
    assert "data-error" not in elements.split("<main")[0]
    assert re.search(r'id="threshold-value"[^>]*>0.50<', elements)
    assert elements.count('aria-pressed="true"') == 1
    assert re.search(r'id="level-value"[^>]*>1.00<', elements)
    assert 'aria-label="Face 3 with smiling at 1.00"' in elements
    assert "--column: 8" in elements
    assert re.search(r'id="cell-readout"[^>]*>bald → beard: measured \+0\.\d\d, refined', elements)
