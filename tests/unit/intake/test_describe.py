"""What is said of a package at the door and in its bag: read, bounded, checked, each fault with the field's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.marks import MARKS, at_once
from vault.errors import Invalid
from vault.intake.describe import (
    FIELDS,
    from_note,
    metadata_of,
    note_of,
    read_descriptive,
    read_filename,
    with_bag_info,
)
from vault.model import Descriptive


def test_what_a_depositor_says_is_split_and_composed() -> None:
    said = {"fonds": "UBND tỉnh".replace("ỉ", "i\u0309"), "class": "", "box": "12"}
    descriptive, rest = read_descriptive(said)
    assert descriptive.fonds == "UBND tỉnh"
    assert descriptive.priority_class == "default"
    assert rest == {"box": "12"}


@pytest.mark.parametrize("said", [{"title": "a\nb"}, {"title": "x" * 4097}, {"": "x"}, {"1x": "y"}, {"a b": "y"}])
def test_what_cannot_be_kept_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        read_descriptive(said)
    assert caught.value.code == "bad-metadata"


@pytest.mark.parametrize(("text", "expected"), [("C:\\a\\b.pdf", "b.pdf"), ("../../x", "x"), ("", ""), ("a/", "")])
def test_a_file_name_is_never_a_path(text: str, expected: str) -> None:
    assert read_filename(text) == expected


@pytest.mark.parametrize("text", ["..", "a/.", "x" * 256, "a\0b"])
def test_file_names_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        read_filename(text)


EVERYTHING = {
    "fonds": "Phông UBND tỉnh",
    "agency": "H49.61",
    "agency_name": "Sở Nội vụ",
    "batch": "b",
    "title": "Hồ sơ Đ-012",
    "file_code": "H49.61.8/2025/0012",
    "date_from": "1998",
    "date_to": "2025-02-28",
    "retention": "Vĩnh viễn",
    "access": "Công khai",
    "class": "dat-dai",
}


def test_every_field_is_kept_and_comes_back_from_the_note() -> None:
    assert set(EVERYTHING) == set(FIELDS)
    said, rest = read_descriptive(EVERYTHING)
    assert rest == {}
    assert (said.priority_class, said.file_code, said.date_to) == ("dat-dai", "H49.61.8/2025/0012", "2025-02-28")
    assert note_of(said) == EVERYTHING
    assert from_note({**note_of(said), "identifier": "x", "metadata": {}}) == said


def test_a_note_that_somebody_changed_says_what_can_be_read_of_it() -> None:
    assert from_note({"fonds": 7, "title": "T", "date_from": "yesterday", "agency": None}) == Descriptive(title="T")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"date_from": "31/05/2019"}, "date_from"),
        ({"date_to": "2019-02-29"}, "date_to"),
        ({"date_to": "2019-13"}, "date_to"),
        ({"date_from": "0000"}, "date_from"),
        ({"date_from": "2020", "date_to": "2019-12-31"}, "date_to"),
        ({"fonds": "đ" * 257}, "fonds"),
        ({"class": "x" * 65}, "class"),
        ({"agency": "a\u2028b"}, "agency"),
        ({"box": "x" * 4097}, "box"),
        ({f"k{n}": "" for n in range(65)}, ""),
        ({f"k{n}": "x" * 4000 for n in range(9)}, ""),
    ],
)
def test_a_fault_names_its_field(said: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_descriptive(said)
    assert [(fault.code, fault.path) for fault in caught.value.faults] == [("bad-metadata", field)]
    assert field in caught.value.message


def test_every_fault_is_listed() -> None:
    with pytest.raises(Invalid) as caught:
        read_descriptive({"date_from": "x", "date_to": "y", "fonds": "\n", "1": ""})
    assert {fault.path for fault in caught.value.faults} == {"date_from", "date_to", "fonds", "1"}


@pytest.mark.parametrize(
    "dates", [("2019", "2019-01"), ("2019-05", "2019"), ("2000-02-29", "2000-02-29"), ("", "1975")]
)
def test_dates_of_any_precision(dates: tuple[str, str]) -> None:
    said, _ = read_descriptive({"date_from": dates[0], "date_to": dates[1]})
    assert (said.date_from, said.date_to) == dates


def test_a_bag_says_what_was_not_said_at_the_door() -> None:
    info = [
        ("Source-Organization", "Sở Nội vụ"),
        ("Phông", "UBND"),
        ("Mã-hồ-sơ", "H49/12"),
        ("TITLE", "Báo cáo\n  năm 2019"),
        ("Retention-Period", "70 năm"),
        ("Date-From", "2019"),
        ("Batch", "stolen"),
        ("Class", "first"),
        ("Bagging-Date", "2026-01-01"),
    ]
    found = with_bag_info(Descriptive(title="At the door"), info)
    assert found.descriptive == Descriptive(
        title="At the door", agency_name="Sở Nội vụ", fonds="UBND", file_code="H49/12", retention="70 năm",
        date_from="2019",
    )  # fmt: skip
    assert found.warnings == ()


def test_what_a_bag_says_and_cannot_be_kept_is_a_warning() -> None:
    info = [("Title", "x" * 5000), ("Date-From", "31/12/2019"), ("Date-To", "2018"), ("Fonds", "F")]
    found = with_bag_info(Descriptive(date_from="2019"), info)
    assert found.descriptive == Descriptive(date_from="2019", fonds="F")
    assert len(found.warnings) == 2
    assert "Title" in found.warnings[0]


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=300), max_size=8))
def test_whatever_is_said_is_kept_or_refused(said: dict[str, str]) -> None:
    try:
        descriptive, rest = read_descriptive(said)
    except Invalid:
        return
    assert len(rest) + sum(1 for key in FIELDS if key in said) == len(said)
    assert from_note(note_of(descriptive)) == descriptive


@pytest.mark.parametrize("key", ["title", "fonds", "box"])
def test_a_letter_with_very_many_marks_is_refused_at_once(key: str) -> None:
    with at_once(), pytest.raises(Invalid, match="longer than"):
        read_descriptive({key: "a" + MARKS})
    with at_once(), pytest.raises(Invalid, match="longer than 255 bytes"):
        read_filename("a" + MARKS)


def test_in_a_bag_it_is_not_taken_over() -> None:
    with at_once():
        found = with_bag_info(
            Descriptive(), [("Title", "a" + MARKS), ("x" + MARKS, "y"), ("Fonds", "f" * 513), ("Title", "Hồ sơ")]
        )
    assert found.descriptive == Descriptive(title="Hồ sơ")
    assert [warning.rsplit(": ", 1)[1] for warning in found.warnings[1:]] == [
        "it is longer than 4096 bytes",
        "it is longer than 512 bytes",
    ]


def test_more_of_it_than_the_metadata_hold_stays_in_the_bag_and_is_told() -> None:
    most = [("X", "y" * 1023)] * 32
    assert metadata_of(most) == {"bag_info": [list(pair) for pair in most]}
    assert with_bag_info(Descriptive(), most).warnings == ()
    found = with_bag_info(Descriptive(), [*most, ("Title", "Hồ sơ")])
    assert metadata_of([*most, ("Title", "Hồ sơ")]) == metadata_of(None) == {}
    assert found.descriptive.title == "Hồ sơ"
    (warning,) = found.warnings
    assert "32768" in warning


def test_of_ten_thousand_elements_that_cannot_be_taken_over_some_are_told() -> None:
    found = with_bag_info(Descriptive(), [("Title", "x" * 5000)] * 10_000)
    assert len(found.warnings) == 100
