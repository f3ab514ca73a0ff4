"""What is said to people, in Vietnamese or in English.

Messages stand in the code in English, inside ``_()`` or ``n_()``; ``N_()`` marks one that is translated later. The
translations are in ``vault/locale/LANGUAGE/LC_MESSAGES/khoso.po`` and read from the ``.mo`` beside it, which
``scripts/messages.py`` makes and the repository holds. What programs read (JSON, logs, the API) is never translated.
"""

from __future__ import annotations

import contextlib
import functools
import gettext
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from vault.units import Language

DOMAIN: Final = "khoso"
LOCALE_FOLDER: Final = Path(__file__).resolve().parent / "locale"
VARIABLES: Final = ("KHOSO_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where the language is looked for; the first that is not empty decides (locale(7), with our own before it)."""

_chosen: ContextVar[Language | None] = ContextVar("khoso_language", default=None)


def language_of(environment: Mapping[str, str]) -> Language:
    """The language that an environment asks for: Vietnamese for ``vi`` or ``vi_VN.UTF-8``, English for all else."""
    wanted = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return "vi" if wanted.lower().replace("-", "_").partition(".")[0].partition("_")[0] == "vi" else "en"


def current_language() -> Language:
    """The language in use: what :func:`speaking` set, or else what the environment asks for."""
    return _chosen.get() or language_of(os.environ)


@contextlib.contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Use ``language`` within the block, in this thread or task."""
    token = _chosen.set(language)
    try:
        yield
    finally:
        _chosen.reset(token)


@functools.cache
def _translations(language: Language) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    # A translation that is missing is an English message, never an error at three in the morning.
    return gettext.translation(DOMAIN, LOCALE_FOLDER, [language], fallback=True)


def _(message: str) -> str:
    """``message`` in the language in use."""
    return _translations(current_language()).gettext(message)


def n_(singular: str, plural: str, number: int) -> str:
    """The form for ``number`` in the language in use; the caller puts the number in."""
    return _translations(current_language()).ngettext(singular, plural, number)


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's users know
    """``message`` as it is: marks it for translation where it is defined, long before it is shown."""
    return message
