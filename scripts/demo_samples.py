"""Sample packages of the demo: a file (hồ sơ) of a dissolved office, as bags in three packings, and one PDF."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from vault.formats.bag_writer import bag_manifests
from vault.formats.tar_writer import TarWriter


@dataclass(frozen=True, slots=True)
class Sample:
    """One deposit: what it is called, what is sent, and what is said of it."""

    identifier: str
    filename: str
    body: bytes
    fonds: str
    title: str


def samples() -> list[Sample]:
    """The packages that the demo deposits."""
    land = {
        "Hồ sơ địa chính/Giấy chứng nhận quyền sử dụng đất số 012.pdf": pdf("Giay chung nhan so 012", 40),
        "Hồ sơ địa chính/Trích lục bản đồ thửa đất.pdf": pdf("Trich luc ban do", 120),
        "Mục lục văn bản.csv": "số,ngày,trích yếu\n1,12/03/2025,Tờ trình\n2,15/03/2025,Quyết định\n".encode(),
    }
    invest = {
        "Quyết định chủ trương đầu tư – dự án cầu Sông Đà.pdf": pdf("Quyet dinh dau tu", 80),
        "Ảnh hiện trường/ảnh 01.jpg": bytes(range(256)) * 400,
        "ghi chú.txt": b"",
    }
    minutes = {"Biên bản bàn giao tài liệu.pdf": pdf("Bien ban ban giao", 15)}
    return [
        Sample("H49.61.8/2025/Đ-012", "ho-so-012.tar", tar(land), "UBND huyện Mường La", "Hồ sơ đất đai 012"),
        Sample("H49.61.8/2025/ĐT-007", "ho-so-007.zip", zipped(invest), "UBND huyện Mường La", "Hồ sơ đầu tư 007"),
        Sample("H49.61.9/2025/BG-001", "ho-so-001.tar.gz", gzip.compress(tar(minutes), mtime=0), "UBND xã Ít Ong",
               "Hồ sơ bàn giao 001"),
        Sample("H49.61.9/2025/CV 118.pdf", "Công văn số 118.pdf", pdf("Cong van so 118", 60), "UBND xã Ít Ong",
               "Công văn 118"),
    ]  # fmt: skip


def bag(payload: Mapping[str, bytes]) -> dict[str, bytes]:
    """A complete BagIt bag around these files: path -> content, manifests first."""
    listed = [(path, hashlib.sha512(data).hexdigest(), len(data)) for path, data in sorted(payload.items())]
    info = [("Source-Organization", "Sở Nội vụ tỉnh Sơn La"), ("External-Description", "Gói mẫu của khoso")]
    return {**bag_manifests(listed, info), **{f"data/{path}": data for path, data in payload.items()}}


def tar(payload: Mapping[str, bytes]) -> bytes:
    """The bag of these files as an uncompressed POSIX tar."""
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for path, data in bag(payload).items():
        writer.file(f"ho-so/{path}", len(data), [data])
    writer.close()
    return out.getvalue()


def zipped(payload: Mapping[str, bytes]) -> bytes:
    """The bag of these files as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in bag(payload).items():
            archive.writestr(zipfile.ZipInfo(f"ho-so/{path}"), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def pdf(text: str, pages: int) -> bytes:
    """A valid PDF 1.4 with so many pages that say this (ASCII) text."""
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for page in range(pages):
        stream = f"BT /F1 18 Tf 72 720 Td ({text}, trang {page + 1}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * page} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)
