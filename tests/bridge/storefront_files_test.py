"""storefront_files_test.py: the storefront's files as the bridge serves them. What they do in a browser: tests/web.

    storefront_files_test.py USHERD NAME     runs the test of that name, as CTest does
"""
import posixpath
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]

from bridge import Bridge
from house import House, run

SOURCES = HERE.parents[1] / "apps" / "http-bridge"
ROWS = re.findall(r'^STOREFRONT_FILE\("([^"]+)", ([^,]+), (\w+)\)', (SOURCES / "storefront.def").read_text(), re.M)
TYPES = {"HTML": "text/html; charset=utf-8", "CSS": "text/css; charset=utf-8",
         "JAVASCRIPT": "text/javascript; charset=utf-8", "SVG": "image/svg+xml"}


def every_file_is_served_whole_and_again_only_when_it_has_changed():  # test
    """F5: each row is its file, byte for byte, with its type and a tag by which a browser asks again."""
    with House("--quiet") as house, Bridge(house) as bridge:
        for path, name, kind in ROWS:
            status, headers, text = bridge.ask("GET", path)
            assert (status, text) == (200, (SOURCES / "storefront" / name).read_text()), path
            assert (headers["Content-Type"], headers["Cache-Control"]) == (TYPES[kind], "no-cache"), path
            status, again, text = bridge.ask("GET", path, headers={"If-None-Match": headers["ETag"]})
            assert (status, text, again["ETag"]) == (304, "", headers["ETag"]), path
            status, _, text = bridge.ask("GET", path, headers={"If-None-Match": '"another"'})
            assert status == 200 and text, path


def every_file_of_the_folder_has_a_row_and_every_import_leads_to_one():  # test
    """F5: a file that no row serves, or an import that leads nowhere, would show only in a browser."""
    there = {str(path.relative_to(SOURCES / "storefront")) for path in (SOURCES / "storefront").rglob("*") if path.is_file()}
    assert there == {name for _, name, _ in ROWS}, there
    paths = {path for path, _, _ in ROWS}
    for path, name, kind in ROWS:
        text = (SOURCES / "storefront" / name).read_text()
        for leads_to in re.findall(r'from "([^"]+)"', text) if kind == "JAVASCRIPT" else []:
            assert posixpath.normpath(posixpath.join(posixpath.dirname(path), leads_to)) in paths, (path, leads_to)


def a_page_may_load_nothing_from_elsewhere():  # test
    """F5: the policy names this origin alone, allows no inline code, and no file names another."""
    with House("--quiet") as house, Bridge(house) as bridge:
        _, headers, page = bridge.ask("GET", "/")
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'", policy
        assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'", policy
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert not re.search(r"<script>|<style| style=| on\w+=", page), page
        for _, name, _ in ROWS:
            text = (SOURCES / "storefront" / name).read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|innerHTML|document\.cookie|eval\(", text), name


def every_sentence_stands_in_both_languages():  # test
    """F5: English and Korean side by side, with the same values in them; and every sentence that is used exists."""
    text = (SOURCES / "storefront" / "text.js").read_text()
    rows = dict()
    for name, english, korean in re.findall(r'^  (\w+): +\["((?:[^"\\]|\\.)*)",\s+"((?:[^"\\]|\\.)*)"\],', text, re.M):
        rows[name] = (english, korean)
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", korean)), name
        assert re.search("[가-힣]", korean) and not re.search("[가-힣]", english), name
    assert len(rows) == len(re.findall(r"^  \w+: +\[", text, re.M)) > 90, len(rows)
    for _, name, kind in ROWS:
        if kind == "JAVASCRIPT":
            for used in re.findall(r'\bt\("(\w+)"', (SOURCES / "storefront" / name).read_text()):
                assert used in rows, (name, used)


run(globals())
