"""The report: one file for people, which runs nothing of others and loads nothing."""

import itertools
import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from published import published
from recorded import ALL, evidence, inconclusive, none

from memaudit.report.card import card
from memaudit.report.html import html
from memaudit.report.page import page
from memaudit.report.rows import IN_FULL, PAGE

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"
    "{{ 7 * 7 }}\u2028<!--"
)
LOADING = ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "background")
VOID = {"meta", "link", "img", "input", "br", "hr", "circle", "polyline", "line", "rect"}


@dataclass
class Element:
    """An element: its name, attributes, and the text right in it."""

    name: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Parser(HTMLParser):
    """Keeps every element, and requires that they are closed in their order."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1].text += data

    def named(self, name: str) -> list[Element]:
        return [one for one in self.elements if one.name == name]


def parsed(text: str) -> Parser:
    parser = Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def island(page: Parser) -> dict:
    [data] = [one for one in page.named("script") if "type" in one.attributes]
    return json.loads(data.text)


def hostile_record():
    record = evidence()
    asked = replace(record.config, model=HOSTILE, dataset=HOSTILE, controls=HOSTILE)
    model = replace(record.prepared.model, model=HOSTILE, weights={HOSTILE: HOSTILE})
    return replace(record, config=asked, prepared=replace(record.prepared, model=model))


def test_hostile_names_captions_and_models_add_no_element_and_no_script():
    plain = parsed(html([published(evidence(), prompt="a caption")]))
    texts = {"source": HOSTILE, "prompt": HOSTILE, "nearest_other_source": HOSTILE}
    run = published(hostile_record(), **texts, reason=HOSTILE, cluster=HOSTILE)
    attacked = parsed(html([replace(run, name=HOSTILE)]))
    names = {one.name for one in attacked.elements}
    assert names == {one.name for one in plain.elements}
    scripts = attacked.named("script")
    assert len(scripts) == 2
    assert [one.attributes for one in scripts] == [{"type": "application/json"}, {}]
    assert scripts[1].text == plain.named("script")[1].text
    for one in attacked.elements:
        assert not [name for name in one.attributes if name.startswith("on")]
    rows = island(attacked)
    assert rows["values"][0][0] == HOSTILE.replace("\u2028", "\\u2028")


def test_names_cannot_turn_the_direction_of_writing_nor_keep_a_report_from_being_written():
    name = "photo\u202egpj.exe\x1b[31m.png"
    record = hostile_record()
    record = replace(record, config=replace(record.config, model=f"{name}\udcff"))
    run = published(record, source=name, prompt=name, reason=name)
    for text in (html([replace(run, name=f"{name}\udcff")]), card([run])):
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert text.encode()
    text = html([run])
    assert island(parsed(text))["values"][0][0] == r"photo\u202egpj.exe\x1b[31m.png"


def test_scripts_and_styles_are_allowed_by_their_digests_alone():
    [policy] = [
        one.attributes["content"]
        for one in parsed(html([published(none())])).named("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_a_report_loads_nothing_from_elsewhere(made):
    page = parsed(html([published(made())]))
    for one in page.elements:
        for name in LOADING:
            assert (
                one.attributes.get(name, "#")[:1] == "#"
                or one.attributes[name][:11] == "data:image/"
            )
    assert not page.named("link")
    assert not [
        one for one in page.elements if "url(" in one.attributes.get("style", "") + one.text
    ]


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_page_one_answers_the_questions_of_a_newcomer(made):
    record = made()
    page = parsed(html([published(record)]))
    headings = [one.text for one in page.elements if one.name in ("h2", "h3")]
    asked = ["What was asked", "What was found, by kind", "How sure is it?", "What was not tested"]
    assert headings[1:6] == [*asked, "What to do next"]
    assert record.verdict.sentence in [one.text for one in page.named("p")]
    assert "not tested" in [one.text for one in page.named("span")]


def test_an_inconclusive_scan_says_why_in_place_of_how_sure():
    text = " ".join(html([published(inconclusive())]).split())
    assert "Not at all, because:" in text
    assert "no controls; give at least 39" in text
    assert text.count("no statement") == 2  # of membership and of reproduction


def test_every_finding_is_there():
    count = IN_FULL + 20
    run = published(none(), count=count)
    page = parsed(html([run]))
    rows = island(page)
    named = dict(zip([name for name, _ in rows["columns"]], rows["values"], strict=True))
    assert named["source"] == run.findings["source"].tolist()
    assert named["key"] == run.findings["example_id"].str[:12].tolist()
    assert {len(one) for one in rows["further"]} == {IN_FULL}
    body = page.elements.index(page.named("tbody")[0])
    static = [one for one in page.elements[body:] if one.name == "tr"]
    assert len(static) == PAGE


def test_every_picture_and_figure_says_what_is_seen():
    page = parsed(html([published(evidence(), flagged=5)]))
    images = page.named("img")
    assert len(images) == 5
    for one in images:
        assert one.attributes["alt"].startswith("Four pictures side by side: the image folder/")
        assert "1 part picture to 8.6 parts noise" in one.attributes["alt"]
    drawn = page.named("svg")
    assert len(drawn) >= 5
    for one in drawn:
        assert one.attributes["role"] == "img"
        assert len(one.attributes["aria-label"]) > 60


def test_headings_descend_by_one_and_every_id_is_there_once():
    page = parsed(html([published(made()) for made in ALL]))
    levels = [int(one.name[1]) for one in page.elements if one.name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for one in page.elements:
        for name in one.attributes.get("aria-labelledby", "").split():
            assert name in ids
        if one.attributes.get("href", "").startswith("#"):
            assert one.attributes["href"][1:] in ids


def test_every_column_is_explained_and_every_cell_has_a_header():
    page = parsed(html([published(none(), prompt="a caption")]))
    heads = page.named("th")
    assert all(one.attributes["scope"] == "col" for one in heads)
    assert all(one.attributes["title"] for one in heads)
    terms = [one.text for one in page.named("dt")]
    assert set(published(none()).findings.columns) <= set(terms)


def test_the_same_run_makes_the_same_report():
    assert html([published(evidence())]) == html([published(evidence())])


@pytest.mark.slow
def test_a_hundred_thousand_findings_make_a_file_below_20_mb():
    caption = "a photograph of a small wooden house by a lake, seen from the other shore at sunset"
    text = html([published(none(), count=100_000, flagged=200, prompt=caption)])
    assert len(text.encode()) < 20e6
    assert len(island(parsed(text))["values"][0]) == 100_000


def test_the_page_for_reviewers_names_figures_that_a_report_has():
    text = (Path(__file__).parents[2] / "docs" / "for-reviewers.md").read_text(encoding="utf-8")
    titles = " ".join(one.title for one in page(published(none()), "run").figures)
    table = text.partition("| Question |")[2].partition("\n\n")[0]
    named = [name for name in re.findall(r"\*([^*]+)\*", table) if name != "left"]
    assert len(named) >= 6
    assert [name for name in named if name not in titles] == []


def test_a_scan_that_scored_nothing_has_a_report():
    run = published(inconclusive(), count=3, flagged=0)
    rows = run.findings.assign(score=np.nan, own_similarity=np.nan, reason="could not be scored")
    for found in (rows, rows.head(1), rows.head(0)):
        page = parsed(html([replace(run, findings=found)]))
        assert len(island(page)["values"][0]) == len(found)


def test_scores_that_are_all_alike_are_drawn():
    run = published(none())
    alike = replace(run, findings=run.findings.assign(score=1.0, own_similarity=0.5))
    drawn = parsed(html([alike])).named("svg")
    assert len(drawn) == len(parsed(html([run])).named("svg"))


def test_a_report_without_findings_has_no_number_that_is_none():
    run = published(none(), count=1, flagged=0)
    run = replace(run, findings=run.findings.iloc[:0])
    assert "nan" not in re.findall(r"[a-z]+", html([run]).partition("<script")[0])
