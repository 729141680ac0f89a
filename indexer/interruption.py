"""Ctrl-C during a sync: it waits for a change of the store that has begun, and a second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Interruption:
    """Ctrl-C as long as this context manager is open.

    In a thread other than the main one, and under an application's own handler, nothing changes.
    """

    def __init__(self) -> None:
        self._is_ours = self._is_held = False
        self._n_signals = 0

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._receive)
            self._is_ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def is_urgent(self) -> bool:
        """Whether Ctrl-C was pressed again, so that nothing more must be begun."""
        return self._n_signals > 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, the first Ctrl-C waits for the end.

        :raises KeyboardInterrupt: at the end, also for one before that got lost, as in a finalizer.
        """
        was_held, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = was_held
        if self._n_signals and not was_held:
            raise KeyboardInterrupt

    def _receive(self, *_: object) -> None:
        self._n_signals += 1
        if self.is_urgent or not self._is_held:
            raise KeyboardInterrupt
