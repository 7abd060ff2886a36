"""A pull that dies at a chosen step, for drills that end it at every step in turn."""

from collections.abc import Callable
from typing import Any

import pytest

from paywall_warehouse import files


class Killed(BaseException):
    """As good as SIGKILL for what is on the disk: nothing here catches it."""


def killed_at(step: int, patch: pytest.MonkeyPatch, *methods: tuple[type, str]) -> Callable[[], int]:
    """From here on the pull dies at its `step`-th file replacement or call of one of `methods`, before or
    after it; return how many there were.
    """
    seen = [0]

    def counted(do: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            seen[0] += 1
            if seen[0] == step:
                raise Killed
            result = do(*arguments, **named)
            seen[0] += 1
            if seen[0] == step:
                raise Killed
            return result

        return wrapped

    patch.setattr(files.os, "replace", counted(files.os.replace))
    for owner, name in methods:
        patch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: seen[0]
