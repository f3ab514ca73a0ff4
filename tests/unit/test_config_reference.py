"""The reference of the configuration says what the code does, all of it and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, get_args

import pytest
from pydantic import TypeAdapter

from vault.config import parse_settings
from vault.config import settings as sections
from vault.config.fields import Section

REPO = Path(__file__).parents[2]
DOCUMENTED = REPO / "docs" / "reference" / "config.md"
FILE = Path("/etc/vault/vault.toml")

TABLES = {
    "[node]": sections.NodeSettings,
    "[catalog]": sections.CatalogSettings,
    "[api]": sections.ApiSettings,
    "[intake]": sections.IntakeSettings,
    "[callbacks]": sections.CallbackSettings,
    "[custody]": sections.CustodySettings,
    "[fixity]": sections.RoutineSettings,
    "[health]": sections.HealthSettings,
    "[log]": sections.LogSettings,
    "[[volume]]": sections.VolumeSettings,
    "[[policy]]": sections.PolicySettings,
    "[[library]]": sections.LibrarySettings,
    "[[pool]]": sections.PoolSettings,
    "[recall]": sections.RecallSettings,
}


def keys_of(value: object, path: tuple = ()) -> set[tuple]:
    """Every path into a document."""
    found = {path} if path else set()
    if isinstance(value, dict):
        return found.union(*(keys_of(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(keys_of(item, (*path, index)) for index, item in enumerate(value)))
    return found


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """By section and key: the default and the meaning that the reference gives."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    section = ""
    for line in DOCUMENTED.read_text().splitlines():
        heading = re.fullmatch(r"## `(.+)`", line)
        if line.startswith("## "):
            section = heading[1] if heading else ""
        row = re.fullmatch(r"\| `([^`]+)` \| (.+?) \| (.+) \|", line)
        if row:
            found.setdefault(section, {})[row[1]] = (row[2], row[3])
    return found


def expected(model: type[Section], prefix: str = "") -> dict[str, object]:
    """By key: its default, or None where there is none. What is optional counts as having none."""
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        found[key] = None if field.is_required() else field.default
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= expected(field.annotation, f"{key}.")
    return found


@pytest.mark.parametrize("section", TABLES)
def test_every_setting_is_documented_with_its_default_and_nothing_else_is(section):
    rows = documented()[section]
    known = expected(TABLES[section])
    assert set(rows) == set(known)
    for key, (default, meaning) in rows.items():
        assert len(meaning) > 20, key
        if default == "—":
            assert known[key] is None, key
            continue
        value = tomllib.loads("x = " + default.strip("`"))["x"]
        model, name = TABLES[section], key
        if "." in key:
            outer, _, name = key.partition(".")
            model = model.model_fields[outer].annotation
        field = next(field for attribute, field in model.model_fields.items() if name in (attribute, field.alias))
        adapter = TypeAdapter(Annotated[(field.annotation, *field.metadata, "")])
        assert adapter.validate_python(value) == known[key], key


def test_possible_values_are_documented():
    rows = documented()
    for section, model in TABLES.items():
        for name, field in model.model_fields.items():
            for value in get_args(field.annotation):
                if isinstance(value, str) and field.annotation.__class__.__name__ == "_LiteralGenericAlias":
                    assert f'"{value}"' in " ".join(rows[section][name]), f"{section} {name} {value}"


def test_the_reference_has_no_other_sections():
    assert set(documented()) == set(TABLES)


def test_the_example_of_the_reference_has_every_key_and_works():
    example = re.search(r"```toml\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)[1]
    assert parse_settings(example, FILE)
    document = tomllib.loads(example)
    for section, model in TABLES.items():
        tables = document[section.strip("[]")]
        written = {
            ".".join(str(part) for part in path)
            for table in (tables if isinstance(tables, list) else [tables])
            for path in keys_of(table)
        }
        assert set(expected(model)) <= written, section
