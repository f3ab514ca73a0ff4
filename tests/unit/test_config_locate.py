"""On which line a key is written: for every key of every document that tomllib accepts."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from vault.config.locate import locate


def line_of(text: str, what: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if what in line)


def keys_of(value: object, path: tuple = ()) -> set[tuple]:
    """Every path into a document."""
    found = {path} if path else set()
    if isinstance(value, dict):
        return found.union(*(keys_of(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(keys_of(item, (*path, index)) for index, item in enumerate(value)))
    return found


TRICKY = '''\
# comment [not.a.table]
top = 1
"quoted key" = """
[[not]]
a = 1 \\""" still """"
'single.quoted' = \'\'\'
x = ' # no comment
\'\'\'\'
dotted . key = "a \\" # ] }"
array = [ # comment ]
  "one", # two
  [ 2, 3 ],
  { a = "}", b = [4] },
]
date = 1979-05-27 07:32:00 # a space inside
inline = { x.y = 1, "z" = { w = 'v' } }
[table.sub]
key = true
[[many]]
name = "first"
[many.inner]
k = 1
[[many.deep]]
k = 1
[[many.deep]]
k = 2
[[many]]
[[many.deep]]
k = 3
'''


def test_every_key_of_a_tricky_document_is_found_at_its_line():
    lines = locate(TRICKY)
    assert set(lines) == keys_of(tomllib.loads(TRICKY))
    for path, what in {
        ("top",): "top =",
        ("quoted key",): '"quoted key"',
        ("single.quoted",): "'single.quoted'",
        ("dotted", "key"): "dotted . key",
        ("array", 0): '"one"',
        ("array", 1, 1): "[ 2, 3 ]",
        ("array", 2, "b", 0): "{ a =",
        ("inline", "z", "w"): "inline =",
        ("table", "sub", "key"): "key = true",
        ("many", 0, "inner"): "[many.inner]",
        ("many", 0, "deep", 1, "k"): "k = 2",
        ("many", 1, "deep", 0, "k"): "k = 3",
    }.items():
        assert lines[path] == line_of(TRICKY, what), path
    assert locate(TRICKY.replace("\n", "\r\n")) == lines


SCALARS = st.integers() | st.booleans() | st.text("ab1 .,=#\"'\\[]{}éĐ", max_size=8)
KEYS = st.text(st.sampled_from("abc-_1. \"'#=[]é"), min_size=1, max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=3))
def test_whatever_tomllib_reads_has_a_line_for_every_key(top, table):
    def written(value: object) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + " }"
        if isinstance(value, list):
            return "[\n" + ",\n".join(written(item) for item in value) + "]"
        return quoted(value) if isinstance(value, str) else str(value).lower()

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = "\n".join(f"{quoted(key)} = {written(value)}" for key, value in top.items())
    text += "\n[[table-of-ours]]\n" + "\n".join(f"{quoted(key)} = {written(value)}" for key, value in table.items())
    lines = locate(text)
    assert set(lines) == keys_of(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
