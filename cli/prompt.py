"""Where a session's questions are typed: with a history, and with what was pasted shown harmless."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output import create_output
from prompt_toolkit.utils import is_dumb_terminal

from deformer_qa.cli.display import harmless
from deformer_qa.cli.streams import behind


@contextmanager
def prompt_session() -> Iterator[PromptSession[str]]:
    """A prompt on the terminal. It moves the cursor itself, past the safe stream, if it knows moves."""
    file = _history_file()
    history: History = FileHistory(str(file)) if file else InMemoryHistory()
    output = create_output(sys.stdout if is_dumb_terminal() else behind(sys.stdout))
    with create_app_session(output=output):
        yield PromptSession(history=history, input_processors=[_Harmless()])


class _Harmless(Processor):
    """Shows one character for one, so the cursor stands where it stands in the text."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        return Transformation([(style, harmless(text)) for style, text, *_ in transformation_input.fragments])


def _history_file() -> Path | None:
    """Where questions are remembered; None where that place cannot be written."""
    try:
        folder = Path(platformdirs.user_state_dir("qa", appauthor=False))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "history"
        file.touch()
    except (OSError, RuntimeError):  # the latter: nobody knows where home is
        return None
    return file
