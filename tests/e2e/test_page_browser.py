"""The report page in a real browser: opens in silence, sorts, filters, fits a phone, prints.

Its pictures are kept in .artifacts, to be looked at.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from ae_core.report.page import Report, render_page
from tests.unit.report.helpers import example_archive, example_training, flights_report

pytestmark = [pytest.mark.browser, pytest.mark.full]
_DARK = "--blink-settings=preferredColorScheme=0"

# loads the page into a frame as wide as a phone, does something with it, and tells the outcome in its own title
_FRAME = """<!doctype html><title>?</title><iframe style="width:{width}px;height:900px;border:0"></iframe>
<textarea hidden>{page}</textarea><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  {script}
}};
frame.srcdoc = document.querySelector("textarea").value;
</script>"""
_MEASURE = """
  const texts = [...page.querySelectorAll("svg text")];
  const small = texts.filter(text => text.getBoundingClientRect().height < 7);
  document.title = `width=${root.scrollWidth} of ${frame.clientWidth} small=${small.length}`;
"""
_USE = """
  const table = page.querySelector('table[data-filter="Find a column"][data-only]');
  const names = () => [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[0].textContent);
  const head = text => [...table.tHead.rows[0].cells].find(cell => cell.textContent.startsWith(text));
  const press = text => head(text).querySelector("button").click();
  const said = [];
  press("Column"); said.push(names());
  press("Column"); said.push(names());
  press("Largest error"); said.push(names(), head("Largest error").getAttribute("aria-sort"));
  const bar = table.closest(".wide").previousElementSibling;
  const [box, only] = bar.querySelectorAll("input");
  box.value = "INT64  dep"; box.dispatchEvent(new Event("input")); said.push(names(), bar.textContent);
  box.value = ""; box.dispatchEvent(new Event("input"));
  only.checked = true; only.dispatchEvent(new Event("change")); said.push(names());
  document.title = JSON.stringify(said);
"""
_CONTRAST = """
  const luminance = colour => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(frame.contentWindow.getComputedStyle(page.body).backgroundColor);
  const least = [...page.querySelectorAll("p, td, th, dt, dd, span, a, figcaption, h2, svg text")]
    .filter(element => element.textContent.trim() && element.checkVisibility())
    .map(element => [element, frame.contentWindow.getComputedStyle(element)])
    .map(([element, style]) => [luminance(element.tagName === "text" ? style.fill : style.color), element, style])
    .filter(([, , style]) => style.color !== "rgba(0, 0, 0, 0)")
    .map(([ink, element]) => [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), element])
    .sort(([a], [b]) => a - b)[0];
  const nameless = [...page.querySelectorAll("input, button, svg")].filter(element =>
    !(element.getAttribute("aria-label") || element.textContent.trim() || (element.labels && element.labels.length)));
  document.title = JSON.stringify([least[0], least[1].outerHTML.slice(0, 80), nameless.length]);
"""


def framed(page: str, script: str, width: int = 1280) -> str:
    return _FRAME.format(width=width, page=page.replace("&", "&amp;"), script=script)


def outcome(browse, tmp_path: Path, document: str, *options: str):
    path = tmp_path / "frame.html"
    path.write_text(document, encoding="utf-8")
    shown = browse("--dump-dom", "--virtual-time-budget=5000", *options, path.as_uri())
    assert not [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r"<title>(.*?)</title>", shown.stdout)
    assert found is not None
    return unescape(found[1])


@pytest.fixture(scope="module")
def page() -> str:
    certificates, details = flights_report(partitions=3)
    return render_page(example_archive(), certificates, details, example_training())


@pytest.fixture(scope="module")
def artifacts(repository: Path) -> Path:
    folder = repository / ".artifacts"
    folder.mkdir(exist_ok=True)
    return folder


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
    assert "Pass: every value is within its bound." in shown.stdout
    assert shown.stdout.count("<svg") == page.count("<svg")
    assert not [line for line in shown.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_paints_in_light_and_dark_on_phone_and_desk(page, browse, tmp_path, artifacts, width, scheme):
    path, picture = tmp_path / "shown.html", artifacts / f"report-{width}-{scheme}.png"
    path.write_text(f"<!doctype html><body style='margin:0'>{framed(page, '', width)}", encoding="utf-8")
    setting = [] if scheme == "light" else [_DARK]
    size = f"--window-size={max(width, 500)},900"
    browse(*setting, size, "--virtual-time-budget=5000", f"--screenshot={picture}", path.as_uri())
    image = pytest.importorskip("PIL.Image").open(picture).convert("L")
    corner = image.getpixel((2, 2))
    assert corner > 240 if scheme == "light" else corner < 60
    assert image.getextrema()[1] - image.getextrema()[0] > 150


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_sideways(page, browse, tmp_path, width):
    found = re.fullmatch(r"width=(\d+) of (\d+) small=(\d+)", outcome(browse, tmp_path, framed(page, _MEASURE, width)))
    assert found is not None
    assert int(found[1]) <= int(found[2]) == width
    assert int(found[3]) == 0


def test_tables_sort_and_filter(page, browse, tmp_path):
    up, down, by_error, state, filtered, told, changed = json.loads(outcome(browse, tmp_path, framed(page, _USE)))
    assert up == sorted(["dep_delay", "carrier", "speed", "time_hour", "pay", "passenger"])
    assert down == up[::-1]
    assert state == "descending"
    assert by_error[0] == "time_hour"
    assert set(by_error[-2:]) == {"carrier", "passenger"}, "what has no figure comes last"
    assert filtered == ["dep_delay"]
    assert "1 of 6" in told
    assert set(changed) == {"dep_delay", "speed", "time_hour", "pay"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_and_what_is_operated_has_a_name(page, browse, tmp_path, scheme):
    options = [] if scheme == "light" else [_DARK]
    contrast, where, nameless = json.loads(outcome(browse, tmp_path, framed(page, _CONTRAST), *options))
    assert contrast >= 4.5, where
    assert nameless == 0


def test_five_thousand_partitions_and_five_hundred_columns_open_at_once(browse, tmp_path):
    certificates, _ = flights_report(partitions=2)
    wide = [
        replace(c, columns=tuple(replace(one, loss=replace(one.loss, name=f"{one.name}_{n}"))
                                 for n in range(84) for one in c.columns))
        for c in certificates
    ]  # fmt: skip
    report = Report(example_archive(), partitions=2)
    for one in wide:
        report.add(one)
    few = certificates[0].columns[:1]
    for n in range(4_998):
        report.add(replace(certificates[0], partition=f"day={n}", columns=few))
    path = tmp_path / "report.html"
    path.write_text(report.finish(example_training()), encoding="utf-8")
    assert path.stat().st_size < 8_000_000
    started = time.perf_counter()
    shown = browse("--dump-dom", path.as_uri())
    assert time.perf_counter() - started < 20, "with the start of the browser, on a machine that does more besides"
    assert shown.stdout.count("<tr") > 5_500


def test_page_prints(page, browse, tmp_path, artifacts):
    path, paper = tmp_path / "report.html", artifacts / "report.pdf"
    path.write_text(page, encoding="utf-8")
    browse("--no-pdf-header-footer", f"--print-to-pdf={paper}", path.as_uri())
    assert paper.read_bytes().startswith(b"%PDF")
