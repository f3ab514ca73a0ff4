"""What to do about what the API refuses, said for the command line: the API's own remedies speak of HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vault.i18n import N_, _

if TYPE_CHECKING:
    from vault.wire import Problem

_NEWEST: Final = re.compile(r"\bv([1-9][0-9]*)\b")

IDENTIFIER_RULE: Final = N_(
    "Write 1 to 1,024 bytes of text without control characters, and without spaces at its ends."
)

REMEDIES: Final[Mapping[str, str]] = {
    "bad-credentials": N_(
        "Give a valid token with --token-file FILE or in VAULTCTL_TOKEN; on the node, `vaultctl token "
        "list` shows which there are."
    ),
    "bad-identifier": IDENTIFIER_RULE,
    "different-content": N_(
        "If this is a new version of it, add --follows {newest}; if it is another package, give it an "
        "identifier of its own."
    ),
    "no-credentials": N_(
        "Give a token with --token-file FILE or in VAULTCTL_TOKEN; on the node, `vaultctl token create` makes one."
    ),
    "no-receipt-yet": N_("`vaultctl packages show ID` shows its copies; ask again once enough of them are good."),
    "disk-present": N_("Only a disk that was taken out can be forgotten; `vaultctl disks` says which are there."),
    "no-such-disk": N_("`vaultctl disks` lists them."),
    "no-such-evidence": N_("`vaultctl evidence` lists what is being kept."),
    "no-such-file": N_("`vaultctl packages files ID` lists its files; those of a bag lie under data/."),
    "no-such-package": N_("Look at its spelling; `vaultctl packages` lists what is stored."),
    "no-such-verification": N_("`vaultctl verify --list` has the orders that were given."),
    "no-such-version": N_("`vaultctl packages show ID` shows which versions there are."),
    "no-such-volume": N_("`vaultctl volumes` lists them; add a new one to the configuration first."),
    "not-a-bag": N_(
        "Give a BagIt bag or a folder, or add --kind file to keep the archive as the single file that it is."
    ),
    "not-next-version": N_(
        "Look at it with `vaultctl packages show ID`, and deposit again with --follows {newest} if that is still right."
    ),
    "precondition-failed": N_(
        "Look at it with `vaultctl packages show ID`; leave --follows out where it is not stored yet, "
        "else name its newest version."
    ),
    "wrong-scope": N_(
        "Give another token with --token-file FILE or in VAULTCTL_TOKEN, or make one with that --scope "
        "on the node: `vaultctl token create`."
    ),
}
"""By the code of a problem. ``{newest}`` is the version that the problem names as the newest."""


def for_the_command_line(problem: Problem) -> Problem:
    """The problem with a remedy that can be typed, where there is one; else as it is."""
    detail = problem.detail.replace("If-Match names", "--follows names")
    known = REMEDIES.get(problem.code)
    if known is None:
        return problem.model_copy(update={"detail": detail})
    named = _NEWEST.search(problem.remedy) or _NEWEST.search(problem.detail.rpartition(" is stored already ")[2])
    newest = f"v{named[1]}" if named else "vN"
    return problem.model_copy(update={"detail": detail, "remedy": _(known).format(newest=newest)})
