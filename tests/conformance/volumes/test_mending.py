"""A part that is mended: what stands there and is right is taken over, and only what was wrong is set aside."""

from __future__ import annotations

from tests.support import faults
from tests.support.parts import store, usual
from vault.formats.ocfl import object_path
from vault.volumes.base import Verdict


def test_a_new_part_takes_over_what_is_right_and_the_evidence_is_what_was_not(folder):
    volume, package = folder.open(), usual()
    store(volume, *package.versions)
    built = package.versions[0]
    path, *others = sorted(built.content)
    faults.flip(folder.root / "ocfl" / object_path(built.part.object_id) / path)
    staging = volume.stage("mending", built.part.number)
    for other in others:
        assert staging.take(built.part.object_id, other)
    assert not staging.take(built.part.object_id, "v1/content/nothing")
    sink = staging.create(path)
    sink.write(built.content[path])
    sink.close()
    staging.seal(built.part, built.inventory)
    assert staging.check(built.part).verdict is Verdict.INTACT
    kept = volume.replace(staging, built.part, head=False, label="x", about={})
    assert kept is not None
    assert all(volume.check(each.part).verdict is Verdict.INTACT for each in package.versions)
    below = folder.root / kept.path / "object" / "v1"
    assert [str(p.relative_to(below.parent)) for p in below.rglob("content/**/*") if p.is_file()] == [path]


def test_a_link_is_not_taken_over(folder):
    volume, package = folder.open(), usual()
    store(volume, *package.versions)
    built = package.versions[0]
    path = min(built.content)
    stands = folder.root / "ocfl" / object_path(built.part.object_id) / path
    stands.rename(folder.root / "node" / "elsewhere")
    stands.symlink_to(folder.root / "node" / "elsewhere")
    staging = volume.stage("mending", built.part.number)
    assert not staging.take(built.part.object_id, path)
    staging.create(path).close()
