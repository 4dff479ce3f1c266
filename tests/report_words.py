"""The report's page as lines of text that tests can search."""

from html.parser import HTMLParser

from gtzan_jax.views.sections.section import Section

_MARKS = {"strong": "**", "b": "**", "code": "`"}
_LINES = {"h1": "\n# ", "h2": "\n## ", "h3": "\n### ", "summary": "\n### ", "p": "\n"}
_HIDDEN = ("style", "script", "title", "form", "nav")


class _Words(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self._hidden += tag in _HIDDEN
        cell = "| " if tag in ("td", "th") else ""
        self.parts.append(_MARKS.get(tag) or _LINES.get(tag) or cell)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        ends = {"td": " ", "th": " ", "tr": "|\n"}
        self.parts.append(_MARKS.get(tag) or ends.get(tag) or ("\n" if tag in _LINES else ""))

    def handle_data(self, data: str) -> None:
        self.parts.append("" if self._hidden else data.replace("\N{NO-BREAK SPACE}", " "))


def lines_of(page: str) -> str:
    """Returns what a page shows: ``# `` before titles, ``**bold**``, `` `code` ``, ``| rows |``."""
    lines = "".join(_Words(page).parts).splitlines()
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())


def words_of(page: str) -> str:
    """Returns the same as one line."""
    return " ".join(lines_of(page).split())


def said(section: Section) -> str:
    """Returns the words of a section and of its parts as one line, captions included."""
    parts = (f"### {part.title} {said(part)}" for part in section.parts)
    return " ".join([words_of("".join([*section.text, *section.figures])), *parts])
