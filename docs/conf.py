"""The site of documentation: `make docs` builds it into docs/_build."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Any

from docutils import nodes
from pydantic import BaseModel

project = "cyclecast"
html_title = "cyclecast"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
highlight_language = "none"  # of blocks that do not say theirs
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "search.md"]  # search.html is the page that searches the site: searching.md

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_execution_timeout = 120
os.environ["PLOTLY_RENDERER"] = "notebook"  # the script in the page: nothing is fetched

default_role = "literal"  # names in docstrings stand in single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 120
python_trailing_comma_in_multi_line_signatures = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.python"]  # the type `bytes` is none of the fields that are called so
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(annotated_types|collections|enum|fractions|numpy|pathlib|pydantic|random|tvm|typing)\..*"),
    ("py:.*", r"cyclecast(\.\w+)*\._\w+(\..*)?"),  # of private modules, where no public name stands for them
    ("py:.*", r"Annotated\[.*|\w+"),  # annotations of fields, of which Sphinx sees the text alone
]


def described_before(pages: str) -> dict[str, list[str]]:
    """The names of each module of the API that a module above it has described; all errors stay, for their tree."""
    seen: set[int] = set()
    found = {}
    for module in re.findall(r"^   (cyclecast[\w.]*)$", pages, re.MULTILINE):
        room = import_module(module)
        own = [name for name, item in vars(room).items() if getattr(item, "__module__", "") == module]
        items = {name: getattr(room, name) for name in getattr(room, "__all__", own)}
        kept = {name: item for name, item in items.items() if callable(item) and not _is_error(item)}
        found[module] = sorted(name for name, item in kept.items() if id(item) in seen)
        seen.update(map(id, kept.values()))
    return found


def _is_error(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, Exception)


autosummary_context = {"before": described_before(Path(__file__).with_name("api.md").read_text(encoding="utf-8"))}


def with_literal_blocks(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Show paragraphs with indented lines as they are: programs and trees in docstrings."""
    parts: list[str] = []
    for text in re.split(r"\n\n+", "\n".join(lines).strip("\n")):
        literal = re.search(r"^ ", text, re.MULTILINE)
        follows = parts and parts[-1].startswith(("::", "    "))
        parts.append(
            indent(text, "    ") if literal and follows else f"::\n\n{indent(text, '    ')}" if literal else text
        )
    lines[:] = [*"\n\n".join(parts).split("\n"), ""]


def without_fields(
    _app: Any, _what: str, _name: str, item: Any, _options: Any, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leave out what a device's parts are called with: it is their fields, which follow with a description each."""
    model = isinstance(item, type) and issubclass(item, BaseModel)
    return ("", returns) if model else (arguments, returns)


def relinked(_app: Any, _name: str, content: list[str]) -> None:
    """Link pages beside `docs/` as files, which the site hands on as they are, and search.md by its other name."""
    text = re.sub(r"\]\(((?:\.\./)+[A-Z]+\.md)[^)]*", r"](path:\1", content[0])
    content[0] = re.sub(r"\]\(((?:\.\./)*)search\.md", r"](\1searching.md", text)


def without_requests(_app: Any, page: nodes.document) -> None:
    """Leave out the script for formulas that Plotly would fetch for each figure: ours have none."""
    for raw in page.findall(nodes.raw):
        raw.children = [nodes.Text(re.sub(r'<script src="https://[^>]*mathjax[^>]*></script>', "", raw.astext()))]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", with_literal_blocks)
    app.connect("autodoc-process-signature", without_fields)
    app.connect("source-read", relinked)
    app.connect("doctree-read", without_requests)
