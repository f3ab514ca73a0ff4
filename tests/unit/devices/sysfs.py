"""A sysfs of our making: disks, partitions, and what is made of them."""

import os


class Sysfs:
    """Block devices below ``root``, linked as the kernel links them. Numbers are given in the order of making."""

    def __init__(self, root):
        self.root = root
        self.numbers = {}
        for folder in ("class/block", "dev/block", "devices", "fs/btrfs"):
            (root / folder).mkdir(parents=True)

    def write(self, name, **files):
        folder = (self.root / "class/block" / name).resolve()
        for path, text in files.items():
            target = folder / path.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                target.write_bytes(text)
            else:
                target.write_text(f"{text}\n")

    def device(self, name, folder=None, slaves=(), **files):
        place = self.root / "devices" / (folder or f"virtual/block/{name}")
        place.mkdir(parents=True)
        number = f"8:{len(self.numbers)}"
        self.numbers[name] = number
        (self.root / "class/block" / name).symlink_to(place)
        (self.root / "dev/block" / number).symlink_to(place)
        (place / "slaves").mkdir()
        for slave in slaves:
            (place / "slaves" / slave).symlink_to(self.root / "class/block" / slave)
        self.write(name, size=2048, **files)
        return number

    def disk(self, name, serial="", wwn="", host="0:0:0:0"):
        self.device(name, f"pci0000:00/{host}-{name}/block/{name}")
        vpd = b"\0\x80\0" + bytes([len(serial)]) + serial.encode()
        self.write(name, device__vpd_pg80=vpd, device__wwid=f"naa.{wwn}" if wwn else "", device__model="ST16000NM001G")

    def partition(self, name, of):
        parent = (self.root / "class/block" / of).resolve()
        self.device(name, os.path.relpath(parent / name, self.root / "devices"), partition=1)

    def mapped(self, name, slaves, kind, shown):
        self.device(name, slaves=slaves, dm__uuid=f"{kind}-0123", dm__name=shown)

    def array(self, name, slaves, level="raid1", **files):
        self.device(name, slaves=slaves, md__level=level, **{f"md__{key}": value for key, value in files.items()})

    def btrfs(self, uuid, members):
        for member in members:
            folder = self.root / "fs/btrfs" / uuid / "devices"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / member).symlink_to(self.root / "class/block" / member)
