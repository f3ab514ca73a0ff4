"""What several keys must agree on. Each check lists everything that it finds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from vault.config.problem import Problem, Source
from vault.config.settings import (
    ApiSettings,
    CallbackSettings,
    CustodySettings,
    IntakeSettings,
    PolicySettings,
    RoutineSettings,
    VolumeSettings,
)
from vault.units import duration_text


def label(key: str, index: int, item: object) -> str:
    """How a member of an array of tables is called in a message: by its name, or else by its place."""
    name = item.get("name") if isinstance(item, dict) else None
    return f"{key}[{name}]" if isinstance(name, str) and name else f"{key}[#{index + 1}]"


def check_api(api: ApiSettings, source: Source) -> Iterator[Problem]:
    """A client cannot wait longer by default than it may at all; whoever is reached over a network speaks TLS."""
    if api.wait > api.wait_max:
        what = f"it is longer than wait_max ({duration_text(api.wait_max)})"
        yield source.problem(
            ("api", "wait"), "api.wait", what, "shorten it, or raise wait_max", duration_text(api.wait)
        )
    yield from _check_tls(api, source)


def _check_tls(api: ApiSettings, source: Source) -> Iterator[Problem]:
    tls = api.tls
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if getattr(tls, one) is not None and getattr(tls, other) is None:
            what, remedy = f"there is no {other} to it", f"add {other} = … to [api.tls]"
            yield source.problem(("api", "tls", one), f"api.tls.{one}", what, remedy, str(getattr(tls, one)))
    if tls.client_auth != "none" and tls.client_ca is None:
        what, remedy = "nothing says whose certificates are good", "add client_ca = … to [api.tls]"
        yield source.problem(("api", "tls", "client_auth"), "api.tls.client_auth", what, remedy, tls.client_auth)
    if tls.client_auth != "none" and tls.certificate is None:
        what, remedy = "clients can only show certificates over TLS", "add certificate = … and key = … to [api.tls]"
        yield source.problem(("api", "tls", "client_auth"), "api.tls.client_auth", what, remedy, tls.client_auth)
    if not api.listen.loopback and tls.files is None:
        what = "other machines could reach it, and it would speak no TLS"
        remedy = "set certificate and key in [api.tls], or listen on 127.0.0.1 and put a TLS proxy in front"
        yield source.problem(("api", "listen"), "api.listen", what, remedy, str(api.listen))


def check_intake(intake: IntakeSettings, source: Source) -> Iterator[Problem]:
    """What may be sent must be allowed to be unpacked."""
    if intake.max_inflated_bytes < intake.max_package_bytes:
        what = f"it is less than max_package_bytes ({intake.max_package_bytes})"
        key = "max_inflated_bytes"
        yield source.problem(("intake", key), f"intake.{key}", what, "raise it", intake.max_inflated_bytes)


def check_callbacks(callbacks: CallbackSettings, source: Source) -> Iterator[Problem]:
    """What is told must be signed."""
    if callbacks.hosts and callbacks.secret is None:
        what = "hosts may be told, and there is no secret to sign with"
        remedy = 'name the file that has it: secret = "/etc/vault/callbacks.secret"'
        yield source.problem(("callbacks", "hosts"), "callbacks.hosts", what, remedy)


def check_custody(custody: CustodySettings, source: Source) -> Iterator[Problem]:
    """Delays have an order."""
    if custody.retry_min > custody.retry_max:
        what = f"it is longer than retry_max ({duration_text(custody.retry_max)})"
        value = duration_text(custody.retry_min)
        yield source.problem(("custody", "retry_min"), "custody.retry_min", what, "shorten it", value)


def check_windows(fixity: RoutineSettings, volumes: Mapping[int, VolumeSettings], source: Source) -> Iterator[Problem]:
    """A window names volumes that there are."""
    known = {volume.name for volume in volumes.values()}
    for index, window in enumerate(fixity.window):
        for name in sorted(window.volumes - known):
            path = ("fixity", "window", index, "volumes")
            what, remedy = "there is no such volume", f"possible here: {', '.join(sorted(known))}"
            yield source.problem(path, f"fixity.window[#{index + 1}].volumes", what, remedy, name)


def check_volumes(volumes: Mapping[int, VolumeSettings], source: Source) -> Iterator[Problem]:
    """Names are unique, and no volume lies in another. Links are followed by ``check_machine``."""
    for (_, first), (index, second) in combinations(volumes.items(), 2):
        shown = f"volume[{second.name}]"
        if first.name == second.name:
            what, remedy = "another volume has this name", "give each volume its own name"
            yield source.problem(("volume", index, "name"), f"{shown}.name", what, remedy, second.name)
        nested = nesting(first.name, lexical(first.path), lexical(second.path))
        if nested:
            yield source.problem(("volume", index, "path"), f"{shown}.path", *nested, str(second.path))


def nesting(first_name: str, first: Path, second: Path) -> tuple[str, str] | None:
    """What is wrong with two volumes' folders, as sentence and remedy, if anything is."""
    remedy = "give each volume a folder outside the others"
    if first == second:
        return f'volume "{first_name}" has the same folder', "give each volume its own folder, on its own device"
    if second.is_relative_to(first):
        return f'it lies inside the folder of volume "{first_name}" ({first})', remedy
    if first.is_relative_to(second):
        return f'the folder of volume "{first_name}" ({first}) lies inside it', remedy
    return None


def lexical(path: Path) -> Path:
    """The path without ``.``, ``..`` and doubled slashes, by its letters alone."""
    return Path(os.path.normpath(path))


def check_policies(
    policies: Mapping[int, PolicySettings], volumes: Mapping[int, VolumeSettings] | None, source: Source
) -> Iterator[Problem]:
    """Each policy agrees with itself and can be satisfied; together they leave no package without one.

    Volumes are None while some of them cannot work themselves: what follows from that is not worth saying.
    """
    names: set[str] = set()
    catch_all = ""
    last = max(policies, default=-1)
    for index, policy in policies.items():
        path, shown = ("policy", index), f"policy[{policy.name}]"
        if policy.name in names:
            what, remedy = "another policy has this name", "give each policy its own name"
            yield source.problem((*path, "name"), f"{shown}.name", what, remedy, policy.name)
        names.add(policy.name)
        everything = policy.policy().match.everything
        if catch_all:
            what = f'it is never reached: policy "{catch_all}" above it matches every package'
            yield source.problem(path, shown, what, f'move it above "{catch_all}"')
        elif everything:
            catch_all = policy.name
        elif index == last:
            what = "the last policy must match every package, and this one does not"
            yield source.problem((*path, "match"), f"{shown}.match", what, "add a last policy without match")
        yield from _check_copies(index, policy, volumes, source)


def _check_copies(
    index: int, policy: PolicySettings, volumes: Mapping[int, VolumeSettings] | None, source: Source
) -> Iterator[Problem]:
    path, shown = ("policy", index), f"policy[{policy.name}]"
    if policy.receipt_after is not None and policy.receipt_after > policy.disk + policy.tape:
        what = f"a receipt would wait for more copies than there will be ({policy.disk + policy.tape})"
        remedy = f"write {policy.disk + policy.tape} or less"
        yield source.problem((*path, "receipt_after"), f"{shown}.receipt_after", what, remedy, policy.receipt_after)
    if volumes is None:
        return
    domains = {volume.domain for volume in volumes.values()}
    if policy.disk > len(domains):
        listed = ", ".join(sorted(domains)) or "none"
        what = f"each copy needs its own failure domain, and the volumes have {len(domains)} ({listed})"
        remedy = "add a [[volume]] in another domain, or ask for fewer copies"
        yield source.problem((*path, "disk"), f"{shown}.disk", what, remedy, policy.disk)
