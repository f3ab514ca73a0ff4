"""What is marked as a state secret is recognised, and what only sounds like it is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Secret
from vault.intake.secrecy import Level, check, check_bag_info, find
from vault.model import Descriptive

MAT, TOI, TUYET = Level.MAT, Level.TOI_MAT, Level.TUYET_MAT

MARKED = [
    ("access", "Mật", MAT),
    ("access", "MẬT", MAT),
    ("access", "mat", MAT),
    ("access", "Tối mật", TOI),
    ("access", "TUYỆT MẬT", TUYET),
    ("access", "tuyet mat", TUYET),
    ("access", "toi-mat", TOI),
    ("access", "Tuyệt\u00a0mật", TUYET),
    ("access", "ＭẬＴ", MAT),
    ("access", "M\u00adật", MAT),
    ("access", "Độ mật: Tối mật", TOI),
    ("access", "Hạn chế (Mật)", MAT),
    ("access", "Hạn chế - Mật", MAT),
    ("access", "Bảo mật: tuyệt mật", TUYET),
    ("access", "Tài liệu chứa bí mật nhà nước", MAT),
    ("access", "Bí mật nhà nước độ Tối mật", TOI),
    ("access", "Mật, giải mật năm 2030", MAT),
    ("access", "Top Secret", TUYET),
    ("access", "secret", TOI),
    ("Access-Level", "mật", MAT),
    ("Mức độ tiếp cận", "Mật", MAT),
    ("Độ mật", "Mật", MAT),
    ("Độ-mật", "tuyệt mật", TUYET),
    ("Do-mat", "Toi mat", TOI),
    ("DO_MAT", "A", TUYET),
    ("Ðộ mật", "C", MAT),
    ("Security-Classification", "Mật", MAT),
    ("security_classification", "Confidential", MAT),
    ("Security-Classification", "TOP-SECRET", TUYET),
    ("Security-Classification", "Không công khai; Mật", MAT),
    ("Security-Classification", "Có mật", MAT),
    ("doMat", "Tối mật của ngành", TOI),
    ("DoMat", "Mật", MAT),
    ("DOMAT", "b", TOI),
    ("mucDoMat", "A", TUYET),
    ("độMật", "Mật", MAT),
    ("securityClassification", "Mật", MAT),
    ("SecurityLevel", "Secret", TOI),
    ("security.level", "C", MAT),
    ("accessRights", "Mật", MAT),
    ("dcterms.accessRights", "Mật", MAT),
    ("dcterms:accessRights", "Secret", TOI),
    ("http://purl.org/dc/terms/accessRights", "mật", MAT),
    ("dc.title", "MẬT", MAT),
    ("title", "MẬT", MAT),
    ("title", "[TUYỆT MẬT] Phương án phòng thủ", TUYET),
    ("title", "Phương án phòng thủ (Tối mật)", TOI),
    ("title", "TUYỆT MẬT - Phương án phòng thủ", TUYET),
    ("title", "Tối mật: Phương án phòng thủ", TOI),
    ("title", "**TUYỆT MẬT** Phương án phòng thủ", TUYET),
    ("title", "Phương án phòng thủ – TUYỆT MẬT", TUYET),
    ("Title", "(độ Mật) Kế hoạch", MAT),
    ("anything", "Tuyệt mật", TUYET),
    ("Contact-Name", "toi mat", TOI),
]

NOT_MARKED = [
    ("access", ""),
    ("access", "Công khai"),
    ("access", "Bảo mật"),
    ("access", "bao mat thong tin ca nhan"),
    ("access", "Hạn chế: bí mật đời tư, bí mật kinh doanh"),
    ("access", "Không mật"),
    ("access", "khong mat"),
    ("access", "Không thuộc phạm vi bí mật nhà nước"),
    ("access", "Không có nội dung thuộc bí mật nhà nước"),
    ("access", "Đã giải mật"),
    ("access", "Độ mật: thường"),
    ("access", "Độ mật: không"),
    ("access", "Mật độ xây dựng"),
    ("access", "confidential"),
    ("access", "trade secret"),
    ("access", "not secret"),
    ("access", "Có mặt"),
    ("access", "mất"),
    ("access", "Mắt"),
    ("accessRights", "Bảo mật"),
    ("dcterms.accessRights", "confidential"),
    ("securityClassification", "Không mật"),
    ("doMatDan", "Mật"),
    ("doMatCat", "A"),
    ("domatic", "Mật"),
    ("classificationScheme", "A"),
    ("dc.creator", "Mật"),
    ("Do-mat", "Thường"),
    ("Do-mat", "Không"),
    ("Do-mat", "Không mật"),
    ("Security-Classification", "Unclassified"),
    ("Security-Classification", "None"),
    ("Security-Classification", "public"),
    ("Classification", "C"),
    ("title", "Báo cáo công tác bảo mật năm 2019"),
    ("title", "Mật độ dân số tỉnh Sơn La"),
    ("title", "Quyết định ban hành danh mục bí mật nhà nước độ Tuyệt mật, Tối mật"),
    ("title", "Hồ sơ cán bộ Nguyễn Thị Mật"),
    ("title", "Dự án nuôi ong lấy mật (mật ong)"),
    ("title", "Tổng kết (bảo mật)"),
    ("title", "Mật - sản phẩm của ong rừng"),
    ("title", "Tuyệt mật trong thời chiến: hồi ký"),
    ("title", "[MAT] report"),
    ("Contact-Name", "Mật"),
    ("Contact-Name", "Trần Văn Mật"),
    ("External-Identifier", "MAT"),
    ("Source-Organization", "Phòng Bảo vệ bí mật nhà nước"),
    ("note", "Lưu ý: không gửi tài liệu tối mật qua mạng"),
]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("label", "value", "level"), MARKED)
def test_what_is_marked_is_found_however_it_is_written(label: str, value: str, level: Level, form) -> None:
    said = (unicodedata.normalize(form, label), unicodedata.normalize(form, value))
    assert [marking.level for marking in find([said])] == [level]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("label", "value"), NOT_MARKED)
def test_what_only_sounds_like_it_is_no_marking(label: str, value: str, form) -> None:
    assert find([(unicodedata.normalize(form, label), unicodedata.normalize(form, value))]) == []


def test_a_refusal_names_field_and_level_and_nothing_that_was_said() -> None:
    said = Descriptive(title="[Tối mật] Phương án X", access="Mật", fonds="F")
    with pytest.raises(Secret) as caught:
        check(said, {"note": "khu vực Y"})
    assert (caught.value.code, caught.value.field, caught.value.level) == ("state-secret", "title", TOI)
    told = str(caught.value) + str(caught.value.faults)
    assert "Phương án" not in told
    assert "khu vực" not in told
    with pytest.raises(Secret) as caught:
        check_bag_info([("Kế hoạch X", "tuyệt mật")])
    assert caught.value.field == "bag-info.txt: another field"
    check(Descriptive(title="Mật độ dân số"), {"box": "12"})
    check_bag_info([("Source-Organization", "Sở Nội vụ")])


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=200)), max_size=5))
def test_nothing_that_is_said_makes_it_fall_over(said: list[tuple[str, str]]) -> None:
    find(said)


@pytest.mark.parametrize(
    "text", ["[" * 60_000, "mật " * 15_000, "không " * 10_000, "a\u0323\u0302" * 20_000, ")(" * 30_000]
)
@pytest.mark.parametrize("label", ["title", "access", "Do-mat", "x"])
def test_long_values_take_no_time(label: str, text: str) -> None:
    find([(label, text)] * 3)


@given(st.sampled_from(["mật", "tối mật", "tuyệt mật"]), st.data())
def test_case_and_composition_hide_no_marking(level: str, data) -> None:
    text = "".join(data.draw(st.sampled_from([c, c.upper()])) for c in level)
    text = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])), text)
    text = (
        data.draw(st.sampled_from(["", " ", "«", "* "])) + text + data.draw(st.sampled_from(["", " ", "»", "!", "."]))
    )
    for label in ("access", "Do-mat", "Security-Classification"):
        assert [str(marking.level) for marking in find([(label, text)])] == [level]
