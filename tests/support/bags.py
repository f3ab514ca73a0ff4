"""Bags in memory, for tests."""

import hashlib
import io
import logging
import os

import bagit

from vault.formats.bag_writer import bag_manifests
from vault.formats.bagit import validate_bag


class Bag:
    """A bag in memory, which is all that the validator asks for."""

    def __init__(self, files: dict[str, bytes], directories: tuple[str, ...] = ()) -> None:
        self.files = files
        self.directories = directories

    def paths(self) -> dict[str, int]:
        return {path: len(data) for path, data in self.files.items()}

    def has_directory(self, path: str) -> bool:
        return path in self.directories or any(name.startswith(path + "/") for name in self.files)

    def open(self, path: str) -> io.BytesIO:
        return io.BytesIO(self.files[path])

    def digest(self, path, algorithms) -> dict[str, str]:
        return {name: hashlib.new(name, self.files[path]).hexdigest() for name in algorithms}


PAYLOAD = {"a.txt": b"alpha", "hồ sơ/Quyết định.pdf": b"beta" * 100, "zero": b""}


def made(payload: dict[str, bytes] = PAYLOAD, info=(("Source-Organization", "Kho lưu trữ"),)) -> dict[str, bytes]:
    listed = [(path, hashlib.sha512(data).hexdigest(), len(data)) for path, data in payload.items()]
    return bag_manifests(listed, info) | {f"data/{path}": data for path, data in payload.items()}


def signed(files: dict[str, bytes], *algorithms: str) -> dict[str, bytes]:
    """With the tag manifests made anew, after tag files were changed."""
    tags = {path: data for path, data in files.items() if not path.startswith(("data/", "tagmanifest-"))}
    lines = {
        f"tagmanifest-{name}.txt": "".join(
            f"{hashlib.new(name, data).hexdigest()} {path}\n" for path, data in tags.items()
        )
        for name in algorithms or ("sha512",)
    }
    rest = {path: data for path, data in files.items() if not path.startswith("tagmanifest-")}
    return rest | {path: text.encode() for path, text in lines.items()}


def old(files: dict[str, bytes], version: str = "0.97") -> dict[str, bytes]:
    return signed(files | {"bagit.txt": files["bagit.txt"].replace(b"1.0", version.encode())})


def codes(files: dict[str, bytes], directories: tuple[str, ...] = ()) -> set[str]:
    return {fault.code for fault in validate_bag(Bag(files, directories)).faults}


def warned(files: dict[str, bytes]) -> set[str]:
    report = validate_bag(Bag(files))
    assert report.valid, report.faults
    return {warning.code for warning in report.warnings}


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).hexdigest().encode()


def write(files: dict[str, bytes], top) -> None:
    for path, data in files.items():
        target = os.path.join(top, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
    os.makedirs(os.path.join(top, "data"), exist_ok=True)


def theirs(files: dict[str, bytes], top) -> bool:
    """The verdict of the Library of Congress's own implementation."""
    write(files, top)
    logging.disable(logging.CRITICAL)
    try:
        bagit.Bag(str(top)).validate()
    except (bagit.BagError, ValueError):  # ValueError: it crashes on a NUL in a path
        return False
    finally:
        logging.disable(logging.NOTSET)
    return True
