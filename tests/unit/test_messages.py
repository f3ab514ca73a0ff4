"""Every message is translated, and what is compiled is what was written."""

from __future__ import annotations

import gettext
import importlib.util
import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vault.i18n import _, language_of, n_, speaking

REPO = Path(__file__).parents[2]
PO = REPO / "vault" / "locale" / "vi" / "LC_MESSAGES" / "khoso.po"

_spec = importlib.util.spec_from_file_location("messages", REPO / "scripts" / "messages.py")
assert _spec is not None
assert _spec.loader is not None
messages = importlib.util.module_from_spec(_spec)
sys.modules["messages"] = messages
_spec.loader.exec_module(messages)


def test_every_message_is_translated_and_every_translation_used():
    used = messages.used_messages(REPO / "vault")
    assert len(used) > 300
    assert list(messages.faults(used, messages.read_po(PO))) == []


def test_the_compiled_translations_are_those_that_were_written():
    done = subprocess.run(
        [sys.executable, REPO / "scripts" / "messages.py", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_gettext_reads_what_was_compiled():
    compiled = gettext.GNUTranslations(io.BytesIO(messages.to_mo(messages.read_po(PO))))
    assert compiled.gettext("good") == "tốt"
    assert compiled.ngettext("{n} file", "{n} files", 2) == "{n} tệp"
    assert compiled.info()["language"] == "vi"


def written(tmp_path: Path, code: str) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "module.py").write_text(code)
    return folder


@pytest.fixture
def anywhere(monkeypatch, tmp_path):
    monkeypatch.setattr(messages, "ROOT", tmp_path)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("code", ['_(f"{x} files")', '_("a" + x)', 'n_("one", many, 3)', '_("a".format(1))'])
def test_a_message_that_could_never_be_translated_is_an_error(tmp_path, code):
    with pytest.raises(ValueError, match=r"module\.py:1"):
        messages.used_messages(written(tmp_path, code))


@pytest.mark.usefixtures("anywhere")
def test_what_is_missing_fuzzy_changed_or_left_over_is_named(tmp_path):
    used = messages.used_messages(written(tmp_path, '_("new {n}")\n_("doubtful")\n_("kept {n}")\n_("empty")'))
    po = tmp_path / "x.po"
    po.write_text(
        'msgid ""\nmsgstr "Language: vi\\n"\n\n#, fuzzy\nmsgid "doubtful"\nmsgstr "x"\n\n'
        'msgid "kept {n}"\nmsgstr "giữ {m}"\n\nmsgid "old"\nmsgstr "cũ"\n\nmsgid "empty"\nmsgstr ""\n'
    )
    found = "\n".join(messages.faults(used, messages.read_po(po)))
    for expected in (
        "not translated: 'new {n}'",
        "fuzzy: 'doubtful'",
        "differ: 'kept {n}'",
        "no longer used: 'old'",
        "not translated: 'empty'",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "vi"}, "vi"),
        ({"LANG": "vi_VN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "KHOSO_LANG": "vi"}, "vi"),
        ({"LANG": "vi_VN.UTF-8", "KHOSO_LANG": "en"}, "en"),
        ({"LANG": "vi_VN.UTF-8", "KHOSO_LANG": ""}, "vi"),
        ({"LANG": "vie"}, "en"),
    ],
)
def test_the_environment_decides_the_language(environment, language):
    assert language_of(environment) == language


def test_a_language_is_spoken_within_its_block_and_thread_only(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")
    heard = []
    with speaking("vi"):
        assert _("damaged") == "hỏng"
        assert n_("{n} file", "{n} files", 1) == "{n} tệp"
        thread = threading.Thread(target=lambda: heard.append(_("damaged")))
        thread.start()
        thread.join()
    assert heard == ["damaged"]
    assert _("damaged") == "damaged"
    assert n_("{n} file", "{n} files", 2) == "{n} files"
