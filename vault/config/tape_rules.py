"""What libraries, pools and policies must agree on, and what follows where nothing is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vault.config.problem import Problem, Source
from vault.config.rules import lexical, nesting
from vault.config.settings import LibrarySettings, PolicySettings, PoolSettings, VolumeSettings


def check_libraries(
    libraries: Mapping[int, LibrarySettings], volumes: Mapping[int, VolumeSettings], source: Source
) -> Iterator[Problem]:
    """Names are unique, and each kind has the keys that belong to it."""
    names: set[str] = set()
    for index, library in libraries.items():
        path, shown = ("library", index), f"library[{library.name}]"
        if library.name in names:
            what, remedy = "another library has this name", "give each library its own name"
            yield source.problem((*path, "name"), f"{shown}.name", what, remedy, library.name)
        names.add(library.name)
        if library.kind == "virtual":
            yield from _check_virtual(index, library, source)
        elif library.path is not None:
            what, remedy = "only a virtual library is a folder", 'remove it, or write kind = "virtual"'
            yield source.problem((*path, "path"), f"{shown}.path", what, remedy, str(library.path))
        elif isinstance(library.drives, int):
            what, remedy = "a number of drives is for virtual libraries", 'write "auto", or a list of serial numbers'
            yield source.problem((*path, "drives"), f"{shown}.drives", what, remedy, library.drives)
        for key, folder in (("path", library.path), ("spool", library.spool)):
            for volume in volumes.values() if folder else ():
                nested = nesting(volume.name, lexical(volume.path), lexical(folder or volume.path))
                if nested:
                    yield source.problem((*path, key), f"{shown}.{key}", *nested, str(folder))


def _check_virtual(index: int, library: LibrarySettings, source: Source) -> Iterator[Problem]:
    path, shown = ("library", index), f"library[{library.name}]"
    if library.path is None:
        remedy = 'add path = "/var/lib/vault/practice", a folder for its cartridges'
        yield source.problem(
            (*path, "path"), f"{shown}.path", "a virtual library is a folder, and none is named", remedy
        )
    if library.changer != "auto":
        what, remedy = "a virtual library has its own changer", "remove it"
        yield source.problem((*path, "changer"), f"{shown}.changer", what, remedy, library.changer)
    if isinstance(library.drives, tuple):
        what, remedy = "a virtual library has no serial numbers to choose from", "write how many drives it has"
        yield source.problem((*path, "drives"), f"{shown}.drives", what, remedy)


def check_pools(
    pools: Mapping[int, PoolSettings],
    libraries: Mapping[int, LibrarySettings],
    policies: Mapping[int, PolicySettings],
    source: Source,
) -> Iterator[Problem]:
    """Each pool is written in a library that there is, each set is one pool's, and the policies have enough sets."""
    known = [library.name for library in libraries.values()]
    names: set[str] = set()
    sets: set[str] = set()
    for index, pool in pools.items():
        path, shown = ("pool", index), f"pool[{pool.name}]"
        if pool.name in names:
            what, remedy = "another pool has this name", "give each pool its own name"
            yield source.problem((*path, "name"), f"{shown}.name", what, remedy, pool.name)
        names.add(pool.name)
        of_set = pool.set or pool.name
        if of_set in sets:
            what, remedy = (
                "another pool is of this set",
                "give each pool a set of its own: two in one would be one copy",
            )
            yield source.problem((*path, "set"), f"{shown}.set", what, remedy, of_set)
        sets.add(of_set)
        if pool.library and pool.library not in known:
            what, remedy = "there is no such library", f"name one of these: {', '.join(known) or 'add a [[library]]'}"
            yield source.problem((*path, "library"), f"{shown}.library", what, remedy, pool.library)
        elif not pool.library and len(known) != 1:
            what, remedy = f"there are {len(known)} libraries, and none is named", 'add library = "NAME"'
            yield source.problem((*path, "library"), f"{shown}.library", what, remedy)
    yield from _check_policies(sets, known, policies, source)


def _check_policies(
    sets: set[str], libraries: list[str], policies: Mapping[int, PolicySettings], source: Source
) -> Iterator[Problem]:
    for index, policy in policies.items():
        path, shown = ("policy", index, "tape"), f"policy[{policy.name}].tape"
        if policy.tape and not libraries:
            what, remedy = "there is no tape library", "add a [[library]], or write tape = 0"
            yield source.problem(path, shown, what, remedy, policy.tape)
        elif policy.tape and not sets and len(libraries) > 1:
            what, remedy = "nothing says which library writes which set", "add a [[pool]] for each set"
            yield source.problem(path, shown, what, remedy, policy.tape)
        elif sets and policy.tape > len(sets):
            what = (
                f"each copy on tape needs a set of its own, and the pools have {len(sets)} ({', '.join(sorted(sets))})"
            )
            remedy = "add a [[pool]] of another set, or ask for fewer copies"
            yield source.problem(path, shown, what, remedy, policy.tape)


def complete_pools(
    pools: Mapping[int, PoolSettings],
    libraries: Mapping[int, LibrarySettings],
    policies: Mapping[int, PolicySettings],
) -> tuple[PoolSettings, ...]:
    """The pools with nothing left open; where none is written, ``tape-1`` to ``tape-N`` for what the policies ask."""
    if not libraries:
        return ()
    first = next(iter(libraries.values())).name
    written = list(pools.values())
    if not written:
        most = max((policy.tape for policy in policies.values()), default=0)
        written = [PoolSettings(name=f"tape-{number}") for number in range(1, most + 1)]
    return tuple(
        pool.model_copy(
            update={
                "library": pool.library or first,
                "set": pool.set or pool.name,
                "site": pool.site or pool.library or first,
            }
        )
        for pool in written
    )
