"""The guides in two languages tell the same: the same commands, in the same order."""

from __future__ import annotations

import re

import pytest

from tests.support.guides import HOWTO, blocks

TRANSLATED = sorted(path.name.removesuffix(".vi.md") for path in HOWTO.glob("*.vi.md"))
SCENES = (
    "install", "first-volume", "first-tape", "first-deposit", "a-disk-died", "the-server-died", "move-to-a-new-nas",
    "yearly-drill", "upgrade", "restore", "a-tape-is-bad", "grafana", "credentials",
)  # fmt: skip


def bare(text: str) -> str:
    """A block without its comments, which are in the guide's language."""
    return "\n".join(re.sub(r"\s+#.*", "", line) for line in text.splitlines())


@pytest.mark.parametrize("name", SCENES)
def test_what_operators_meet_is_told_in_both_languages(name):
    assert name in TRANSLATED
    assert (HOWTO / f"{name}.md").exists()


@pytest.mark.parametrize("name", TRANSLATED)
def test_both_languages_have_the_same_commands(name):
    english = [(block.kind, bare(block.text), bool(block.skipped)) for block in blocks(name)]
    assert [(block.kind, bare(block.text), bool(block.skipped)) for block in blocks(f"{name}.vi")] == english


def test_every_block_is_found():
    for path in HOWTO.glob("*.md"):
        fences = len(re.findall(r"(?m)^ *```(?:sh|toml)$", path.read_text("utf-8")))
        assert len(blocks(path.name.removesuffix(".md"))) == fences, path.name


@pytest.mark.parametrize("name", TRANSLATED)
def test_each_leads_to_the_other(name):
    assert f"({name}.vi.md)" in (HOWTO / f"{name}.md").read_text("utf-8")
    assert f"({name}.md)" in (HOWTO / f"{name}.vi.md").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(HOWTO.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+\.md)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
