"""Whether the inventory of an earlier version tells the same history as that of the object root.

Source: OCFL 1.1 section 3.7: E066 and W011.
"""

from __future__ import annotations

from collections.abc import Mapping

from vault.formats.ocfl.findings import Findings
from vault.formats.ocfl.inventory import Inventory


def compare_with_prior(root: Inventory, prior: Inventory, where: str, findings: Findings) -> None:
    """Record where ``prior``, read from ``where``, describes versions otherwise than ``root`` does.

    The two may use different digest algorithms; then what counts is which content paths a logical path stands for.
    """
    same_algorithm = root.digest_algorithm == prior.digest_algorithm
    same_manifest = same_algorithm and _within(prior.manifest, root.manifest)
    for name, version in prior.versions.items():
        known = root.versions.get(name)
        if known is None:
            message = f"The object root's inventory does not know the version {name}."
            findings.error("E066", message, where)
            continue
        if not same_manifest or known.state != version.state:
            _compare_states(root, prior, name, where, findings, same_algorithm=same_algorithm)
        for key, ours, theirs in (
            ("created", known.created, version.created),
            ("message", known.message, version.message),
            ("user", known.user, version.user),
        ):
            if ours != theirs:
                message = f"The {key} of version {name} is not that in the object root's inventory."
                findings.warning("W011", message, where)


def _within(prior: Mapping[str, tuple[str, ...]], root: Mapping[str, tuple[str, ...]]) -> bool:
    """Tell whether each digest of ``prior`` has in ``root`` the same content paths, or more."""
    for digest, paths in prior.items():
        known = root.get(digest)
        if known != paths and (known is None or not set(paths) <= set(known)):
            return False
    return True


def _compare_states(
    root: Inventory, prior: Inventory, name: str, where: str, findings: Findings, *, same_algorithm: bool
) -> None:
    ours = _digest_by_path(root, name)
    theirs = _digest_by_path(prior, name)
    for path in sorted(ours.keys() ^ theirs.keys()):
        side = "the object root's inventory" if path in ours else where
        findings.error("E066", f"In version {name} the logical path is only in {side}.", path)
    for path, digest in theirs.items():
        other = ours.get(path)
        if other is None:
            continue
        if same_algorithm and other.lower() != digest.lower():
            message = f"In version {name} the logical path has another digest in {where}."
            findings.error("E066", message, path)
        elif not set(prior.manifest.get(digest, ())) <= set(root.manifest.get(other, ())):
            message = f"In version {name} the logical path stands for other content in {where}."
            findings.error("E066", message, path)


def _digest_by_path(inventory: Inventory, name: str) -> dict[str, str]:
    state = inventory.versions[name].state
    return {path: digest for digest, paths in state.items() for path in paths}
