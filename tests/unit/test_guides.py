"""The guides in two languages tell the same: the same commands, in the same order."""

from __future__ import annotations

import re

import pytest

from tests.support.guides import HOWTO, blocks

ENGLISH = sorted(path.stem for path in HOWTO.glob("*.md") if ".vi." not in path.name)
FENCED = re.compile(r"(?m)^ *```(\w*)\n(.*?)^ *```$", re.DOTALL)


def text_of(name: str) -> str:
    return (HOWTO / f"{name}.md").read_text("utf-8")


def bare(text: str) -> str:
    """A block without its comments, which are in the guide's language."""
    return "\n".join(re.sub(r"\s+#.*", "", line) for line in text.splitlines())


def test_every_guide_is_told_in_both_languages():
    assert sorted(path.name for path in HOWTO.glob("*.vi.md")) == [f"{name}.vi.md" for name in ENGLISH]


@pytest.mark.parametrize("name", ENGLISH)
def test_both_languages_have_the_same_commands(name):
    fenced = [[(kind, bare(text)) for kind, text in FENCED.findall(text_of(file))] for file in (name, f"{name}.vi")]
    assert fenced[0] == fenced[1]
    english = [(block.kind, bare(block.text), bool(block.skipped)) for block in blocks(name)]
    assert [(block.kind, bare(block.text), bool(block.skipped)) for block in blocks(f"{name}.vi")] == english


def test_every_block_is_found():
    for path in HOWTO.glob("*.md"):
        fences = len(re.findall(r"(?m)^ *```(?:sh|toml)$", path.read_text("utf-8")))
        assert len(blocks(path.name.removesuffix(".md"))) == fences, path.name


@pytest.mark.parametrize("name", ENGLISH)
def test_each_leads_to_the_other(name):
    assert f"({name}.vi.md)" in text_of(name)
    assert f"({name}.md)" in text_of(f"{name}.vi")


@pytest.mark.parametrize("path", sorted(HOWTO.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+\.md)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", ENGLISH)
def test_who_reads_vietnamese_is_led_on_in_vietnamese(name):
    for target in re.findall(r"\]\(([^)#:]+\.md)", text_of(f"{name}.vi")):
        if target != f"{name}.md":
            assert target.endswith(".vi.md") or not (HOWTO / target.replace(".md", ".vi.md")).exists(), target
