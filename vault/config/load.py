"""Read a configuration file, and name everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vault.config import rules, settings, tape_rules
from vault.config.fields import CONFIG_FOLDER, Section
from vault.config.locate import locate, syntax_error_line
from vault.config.problem import KeyPath, Problem, Source
from vault.config.settings import LibrarySettings, PolicySettings, PoolSettings, Settings, VolumeSettings
from vault.errors import ConfigError

DEFAULT_PATH: Final = Path("/etc/vault/vault.toml")
VARIABLE: Final = "VAULT_CONFIG"

_SectionT = TypeVar("_SectionT", bound=Section)
_TABLES: Final = ("node", "catalog", "api", "intake", "callbacks", "custody", "fixity", "health", "log", "recall")
_ARRAYS: Final = ("volume", "library", "pool", "policy")
_PLAIN: Final = {
    "string_type": ("it is no text", "put it in quotes"),
    "int_type": ("it is no whole number", "write a whole number without quotes"),
    "bool_type": ("it is neither true nor false", "write true or false, without quotes"),
    "model_type": ("it is no table", "write the keys that belong to it"),
}


def find_config(cli_value: str | os.PathLike[str] | None = None) -> Path:
    """Return the file to read: ``--config``, or ``VAULT_CONFIG``, or ``/etc/vault/vault.toml``, made absolute.

    It is not looked whether it exists; :func:`load_settings` says so better.
    """
    chosen = os.fspath(cli_value) if cli_value is not None else os.environ.get(VARIABLE, "")
    return Path(chosen).absolute() if chosen else DEFAULT_PATH


def load_settings(path: Path) -> Settings:
    """Return the settings in ``path``.

    Raises :class:`~vault.errors.ConfigError`, whose message has one line for each problem:
    ``FILE:LINE: key: value: what is wrong; remedy``.
    """
    return _settled(*examine(path), path)


def parse_settings(text: str, path: Path) -> Settings:
    """Like :func:`load_settings`, for text at hand. ``path`` is where it is said to come from."""
    return _settled(*examine_text(text, path.absolute()), path)


def examine(path: Path) -> tuple[Settings | None, list[Problem]]:
    """Return the settings in ``path``, or None, and everything that is wrong. Settings have no problems."""
    path = path.absolute()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        remedy = f"make one with vaultctl init, or name another with --config or {VARIABLE}"
        return None, [Problem(path, 0, "", "", "there is no such file", remedy)]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return None, [Problem(path, line, "", "", "it is not UTF-8 text", "save it as UTF-8")]
    except OSError as error:
        what = f"it cannot be read ({error.strerror or error})"
        return None, [Problem(path, 0, "", "", what, "let the user that runs this read the file")]
    return examine_text(text, path)


def _settled(found: Settings | None, problems: list[Problem], path: Path) -> Settings:
    if found is None:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        lines = "\n".join(str(problem) for problem in problems)
        raise ConfigError(f"The configuration {path} has {count}:\n{lines}")
    return found


def examine_text(text: str, path: Path) -> tuple[Settings | None, list[Problem]]:
    """Like :func:`examine`, for text at hand."""
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error_line(error, text)
        for table in _ARRAYS:
            if f"('{table}',)" in message:
                message = f"[{table}] stands there twice; each {table} is a table of its own, written [[{table}]]"
        return None, [Problem(path, line, "", "", f"it is no TOML: {message}", "correct the line, or the one above")]
    if not document:
        what, remedy = "nothing is set in it yet", "type: vaultctl init (it asks what it needs, and writes this file)"
        return None, [Problem(path, 0, "", "", what, remedy)]
    return _Reader(document, Source(path, locate(text))).read()


class _Reader:
    """One pass over one document: validates every section by itself, so that one fault hides no other."""

    def __init__(self, document: Mapping[str, object], source: Source) -> None:
        self._document = document
        self._source = source
        self._problems: list[Problem] = []

    def read(self) -> tuple[Settings | None, list[Problem]]:
        self._top_level()
        node = self._table("node", settings.NodeSettings)
        catalog = self._table("catalog", settings.CatalogSettings)
        api = self._table("api", settings.ApiSettings)
        intake = self._table("intake", settings.IntakeSettings)
        callbacks = self._table("callbacks", settings.CallbackSettings)
        custody = self._table("custody", settings.CustodySettings)
        fixity = self._table("fixity", settings.RoutineSettings)
        health = self._table("health", settings.HealthSettings)
        log = self._table("log", settings.LogSettings)
        recall = self._table("recall", settings.RecallSettings)
        volumes = self._array("volume", VolumeSettings)
        libraries = self._array("library", LibrarySettings)
        pools = self._array("pool", PoolSettings)
        policies = self._array("policy", PolicySettings)
        if api is not None:
            self._problems += rules.check_api(api, self._source)
        if intake is not None:
            self._problems += rules.check_intake(intake, self._source)
        if callbacks is not None:
            self._problems += rules.check_callbacks(callbacks, self._source)
        if custody is not None:
            self._problems += rules.check_custody(custody, self._source)
        whole = len(volumes) == self._length("volume")
        self._problems += rules.check_volumes(volumes, self._source)
        if fixity is not None and whole:
            self._problems += rules.check_windows(fixity, volumes, self._source)
        self._problems += rules.check_policies(policies, volumes if whole else None, self._source)
        tapes_whole = len(libraries) == self._length("library") and len(pools) == self._length("pool")
        self._problems += tape_rules.check_libraries(libraries, volumes, self._source)
        if tapes_whole:
            self._problems += tape_rules.check_pools(pools, libraries, policies, self._source)
        if self._length("policy") == 0:
            what = "there is no policy, so nothing says how many copies there should be"
            remedy = 'add a [[policy]] with name = "default" and disk = 2'
            self._problems.append(self._source.problem(("policy",), "policy", what, remedy))
        self._problems.sort(key=lambda problem: problem.line)
        if self._problems or not (
            node and catalog and api and intake and callbacks and custody and fixity and health and log and recall
        ):
            return None, self._problems
        if not catalog.url:
            catalog = settings.CatalogSettings(url=f"sqlite:///{node.state / 'catalog.db'}")
        return Settings(
            node=node,
            catalog=catalog,
            api=api,
            intake=intake,
            custody=custody,
            fixity=fixity,
            health=health,
            log=log,
            volumes=tuple(volumes.values()),
            policies=tuple(written.policy() for written in policies.values()),
            source=self._source,
            recall=recall,
            callbacks=callbacks,
            libraries=tuple(libraries.values()),
            pools=tape_rules.complete_pools(pools, libraries, policies),
        ), []

    def _top_level(self) -> None:
        for key in self._document:
            if key not in (*_TABLES, *_ARRAYS):
                what, remedy = _unknown(key, (*_TABLES, *_ARRAYS))
                self._problems.append(self._source.problem((key,), key, what, remedy))

    def _length(self, key: str) -> int:
        """How many tables an array has, those that cannot work included."""
        value = self._document.get(key)
        return len(value) if isinstance(value, list) else int(value is not None)

    def _table(self, key: str, model: type[_SectionT]) -> _SectionT | None:
        return self._section(self._document.get(key, {}), (key,), f"{key}", model)

    def _array(self, key: str, model: type[_SectionT]) -> dict[int, _SectionT]:
        """The members of an array of tables that can work, by their place in it."""
        value = self._document.get(key, [])
        if not isinstance(value, list):
            what, remedy = "it is no array of tables", f"write [[{key}]] in two pairs of brackets"
            self._problems.append(self._source.problem((key,), key, what, remedy))
            return {}
        found: dict[int, _SectionT] = {}
        for index, item in enumerate(value):
            section = self._section(item, (key, index), rules.label(key, index, item), model)
            if section is not None:
                found[index] = section
        return found

    def _section(self, value: object, path: KeyPath, shown: str, model: type[_SectionT]) -> _SectionT | None:
        try:
            return model.model_validate(value, context={CONFIG_FOLDER: self._source.file.parent})
        except ValidationError as error:
            self._problems += [self._translate(one, path, shown, model) for one in error.errors()]
            return None

    def _translate(self, error: ErrorDetails, path: KeyPath, shown: str, model: type[Section]) -> Problem:
        where = error["loc"]
        key = shown + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
        value: object = error["input"]
        if error["type"] == "missing":
            table = f"[[{path[0]}]]" if len(path) > 1 else f"[{path[0]}]"
            remedy = f"add {where[-1]} = {_example(model, str(where[-1]))} to {table}"
            what, value = "it is missing", None
        elif error["type"] == "extra_forbidden":
            known = _keys(model, where[:-1])
            what, remedy = _unknown(str(where[-1]), known)
            value = None
        elif error["type"] == "literal_error":
            what = "it is none of the possible values"
            remedy = f"write {error['ctx']['expected'].replace(chr(39), chr(34))}"
        elif error["type"] in ("greater_than_equal", "less_than_equal"):
            low = error["type"] == "greater_than_equal"
            bound = error["ctx"]["ge" if low else "le"]
            what = "it is too small" if low else "it is too large"
            remedy = f"write {bound} or {'more' if low else 'less'}"
        elif error["type"] == "value_error":
            what, _, remedy = str(error["ctx"]["error"]).partition("; ")
            remedy = (remedy[:1].lower() + remedy[1:]).rstrip(".")
        else:
            what, remedy = _PLAIN.get(error["type"], (error["msg"], "look it up in docs/reference/config.md"))
        if key == "catalog.url" and isinstance(value, str):
            value = _without_secret(value)
        return self._source.problem((*path, *where), key, what, remedy, value)


def _keys(model: type[Section], path: Iterable[str | int]) -> list[str]:
    """The keys that the table at ``path`` within ``model`` may have."""
    for part in path:
        inner = model.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _example(model: type[Section], key: str) -> str:
    """What may be written for the key, where the possible values are few; "…" where they are not."""
    field = next((one for name, one in model.model_fields.items() if key in (name, one.alias)), None)
    if field is None or get_origin(field.annotation) is not Literal:
        return "…"
    return " or ".join(f'"{value}"' for value in get_args(field.annotation))


def _unknown(key: str, known: Iterable[str]) -> tuple[str, str]:
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1)
    remedy = f'did you mean "{near[0]}"?' if near else f"possible here: {', '.join(known)}"
    return "there is no such setting", remedy


def _without_secret(url: str) -> str:
    """The URL's scheme alone: what follows may hold a password, wherever it stands."""
    scheme, separator, _ = url.partition("://")
    return f"{scheme}{separator}…" if separator else url
