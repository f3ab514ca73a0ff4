"""What the unit of the daemon must be told of a configuration: where it may write, which mounts it needs before it
starts, which credentials it is to be given. ``init`` writes it as a drop-in, ``doctor`` compares it with what systemd
knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from vault import credentials
from vault.config import Settings

UNIT: Final = "vaultd.service"
DEFAULT_STATE: Final = Path("/var/lib/vault")
VOLUMES_BELOW: Final = Path("/srv")
_HEAD: Final = "# Written by `vaultctl init` from vault.toml; typed again, it is renewed.\n"


def own_folders(settings: Settings) -> dict[str, Path]:
    """The node's own folders by the key that names them: state, catalogue, recall cache, and of each tape library its
    spool and its cartridges where they are folders; what lies in the state folder is not named again. Whatever is
    mounted for them must be there before the node starts: in an empty mount point it would begin anew. Volumes are none
    of them: without a NAS the node starts and says so."""
    state = settings.node.state
    found = {}
    url = settings.catalog.url
    if url.startswith("sqlite:"):
        found["catalog.url"] = Path(str(sa.make_url(url).database)).parent
    if settings.recall.path is not None:
        found["recall.path"] = settings.recall.path
    for library in settings.libraries:
        for key, path in (("spool", library.spool), ("path", library.path)):
            if path is not None:
                found[f"library[{library.name}].{key}"] = path
    return {"node.state": state} | {key: path for key, path in found.items() if not path.is_relative_to(state)}


def outside(settings: Settings) -> list[Path]:
    """The node's own folders that are not in the unit's state folder, which is required and writable already."""
    return sorted({path for path in own_folders(settings).values() if not path.is_relative_to(DEFAULT_STATE)})


def drop_in(settings: Settings) -> str:
    """The drop-in; "" where the unit as it comes will do."""
    own = outside(settings)
    writable = [path for volume in settings.volumes if not (path := volume.path).is_relative_to(VOLUMES_BELOW)]
    sections = [
        *_section("Unit", (f"RequiresMountsFor={quoted(path)}" for path in own)),
        *_section("Service", (f"ReadWritePaths=-{quoted(path)}" for path in sorted({*writable, *own}))),
    ]
    return _HEAD + "\n".join(sections) + "\n" if sections else ""


def _section(name: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield f"[{name}]"
        yield from found


def quoted(path: Path) -> str:
    """A path as a unit file has it (systemd.unit(5), systemd.syntax(7))."""
    return '"' + str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"') + '"'


def wanted_credentials(settings: Settings) -> dict[str, str]:
    """The names of the credentials that the configuration asks for, by the key that does."""
    files = {
        "node.key": settings.node.key,
        "api.tls.key": settings.api.tls.key,
        "callbacks.secret": settings.callbacks.secret,
    }
    found = {key: path.name for key, path in files.items() if path is not None and credentials.is_credential(path)}
    if credentials.is_reference(settings.catalog.url):
        found["catalog.url"] = credentials.path_of(settings.catalog.url).name
    return found
