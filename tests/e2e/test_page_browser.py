"""The report page in a real browser: opens in silence, fits a phone, prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ae_core.report.page import render_page
from tests.unit.report.helpers import example_archive, example_training, flights_report

pytestmark = [pytest.mark.browser, pytest.mark.full]

# loads the page into a frame as wide as a phone and reports how wide its content wants to be
_MEASURE = """<!doctype html><title>?</title><iframe style="width:{width}px;height:900px;border:0"></iframe>
<textarea hidden>{page}</textarea><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const root = frame.contentDocument.documentElement;
  const texts = [...frame.contentDocument.querySelectorAll("svg text")];
  const small = texts.filter(text => text.getBoundingClientRect().height < 7);
  document.title = `width=${{root.scrollWidth}} of ${{frame.clientWidth}} small=${{small.length}}`;
}};
frame.srcdoc = document.querySelector("textarea").value;
</script>"""


@pytest.fixture(scope="module")
def page() -> str:
    certificates, details = flights_report(partitions=3)
    return render_page(example_archive(), certificates, details, example_training())


@pytest.fixture
def browse(chromium: str, tmp_path: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return run


def test_page_opens_without_a_word_on_the_console(page, browse, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    shown = browse("--dump-dom", path.as_uri())
    assert "Every value is within its bound." in shown.stdout
    assert shown.stdout.count("<svg") == page.count("<svg")
    assert not [line for line in shown.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_paints_in_light_and_dark(page, browse, tmp_path, scheme):
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    path.write_text(page, encoding="utf-8")
    setting = [] if scheme == "light" else ["--blink-settings=preferredColorScheme=0"]
    browse(*setting, "--window-size=1280,1600", f"--screenshot={picture}", path.as_uri())
    image = pytest.importorskip("PIL.Image").open(picture).convert("L")
    corner = image.getpixel((2, 2))
    assert corner > 240 if scheme == "light" else corner < 60
    assert image.getextrema()[1] - image.getextrema()[0] > 150


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_sideways(page, browse, tmp_path, width):
    path = tmp_path / "frame.html"
    path.write_text(_MEASURE.format(width=width, page=page.replace("&", "&amp;")), encoding="utf-8")
    shown = browse("--dump-dom", "--virtual-time-budget=5000", path.as_uri())
    found = re.search(r"<title>width=(\d+) of (\d+) small=(\d+)", shown.stdout)
    assert found is not None
    assert int(found[1]) <= int(found[2]) == width
    assert int(found[3]) == 0


def test_page_prints(page, browse, tmp_path):
    path, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    path.write_text(page, encoding="utf-8")
    browse("--no-pdf-header-footer", f"--print-to-pdf={paper}", path.as_uri())
    assert paper.read_bytes().startswith(b"%PDF")
