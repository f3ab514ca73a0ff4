"""Programs of others that tests need, and the rule for when they are absent."""

import os
import shutil
from collections.abc import Sequence

import pytest


def require(program: str, package: str, also_in: Sequence[str] = ()) -> str:
    """Return the path of ``program``; skip the test when it is absent, naming Debian's ``package`` that has it.

    Looked for in PATH, then in the folders ``also_in``. With KHOSO_REQUIRE_TOOLS=1 in the environment, as where the
    whole suite is to run, an absent program is a failure.
    """
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(also_in))
    if found is not None:
        return found
    message = f"{program} is not installed (Debian package {package})"
    if os.environ.get("KHOSO_REQUIRE_TOOLS") == "1":
        pytest.fail(message)
    pytest.skip(message)
