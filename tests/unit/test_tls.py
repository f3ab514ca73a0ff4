"""What the doctor says of a certificate."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.certificates import Authority
from vault.cli.doctor import node
from vault.cli.doctor.finding import Level
from vault.tls import TlsFiles


@pytest.mark.parametrize(("days", "level"), [(90, Level.OK), (20, Level.NOTE), (-0.5, Level.BAD)])
def test_the_doctor_says_when_a_certificate_ends(tmp_path: Path, days: float, level: Level) -> None:
    files = TlsFiles(*Authority(tmp_path).sign("kho", days=days))
    settings = SimpleNamespace(api=SimpleNamespace(tls=SimpleNamespace(files=files)))
    (found,) = node.certificate(settings)  # type: ignore[arg-type]
    assert found.level is level
    assert "kho" in found.what


def test_the_doctor_says_why_a_certificate_cannot_be_used(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).sign("kho")
    settings = SimpleNamespace(api=SimpleNamespace(tls=SimpleNamespace(files=TlsFiles(certificate, certificate))))
    (found,) = node.certificate(settings)  # type: ignore[arg-type]
    assert found.level is Level.BAD
    assert node.certificate(SimpleNamespace(api=SimpleNamespace(tls=SimpleNamespace(files=None)))) == []  # type: ignore[arg-type]
