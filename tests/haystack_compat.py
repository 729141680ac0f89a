"""``make haystack-compat``: the tests of others, against our components in the place of theirs.

Fetched by pip when run, none of them kept: the reader's tests from the source distribution of transformers-haystack,
and Haystack's own tests of components that work on a document store from its source archive, or from the checkout that
HAYSTACK_SOURCE names. Names are replaced; what asserts a class's own serialised form, or its default model, is adapted
or left out, and each such case is listed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

READER_TESTS = "tests/test_extractive_reader.py"
MODELS_OF_A_HUB = ("test_t5", "test_roberta")
STORE_TESTS = (
    "test/components/retrievers/test_filter_retriever.py",
    "test/components/retrievers/test_filter_retriever_async.py",
    "test/components/retrievers/test_sentence_window_retriever.py",
    "test/components/retrievers/test_sentence_window_retriever_async.py",
    "test/components/retrievers/test_auto_merging_retriever.py",
    "test/components/retrievers/test_auto_merging_retriever_async.py",
    "test/components/writers/test_document_writer.py",
    "test/components/caching/test_cache_checker.py",
    "test/components/caching/test_cache_checker_async.py",
)
SOURCE = "https://github.com/deepset-ai/haystack/archive/refs/tags/v{version}.tar.gz"
AT_HAND = "HAYSTACK_SOURCE"
"""The environment variable that names a folder with Haystack's source, which is then not fetched."""

LEFT_OUT = {
    "test_sentence_window_retriever.py::TestSentenceWindowRetriever::test_to_dict": "all parameters of their store",
}
THEIRS = """
from haystack.document_stores.in_memory import InMemoryDocumentStore
"""
OURS = """
import uuid
from pathlib import Path

from haystack.core.serialization import allow_deserialization_module
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

from deformer_qa.pipeline.readers import shared_reader

allow_deserialization_module("stand_in")
HELD = shared_reader()
STORES = Path(__file__).parent / "stores"


class InMemoryDocumentStore(DeformerDocumentStore):
    def __init__(self, path=None, reader=None, device=None, index=None, strict_datetime_comparison=False, **_):
        path = path or STORES / (index or uuid.uuid4().hex)
        super().__init__(path, reader, device, strict_datetime_comparison=strict_datetime_comparison)

    def shutdown(self):
        self.close()


def InMemoryBM25Retriever(document_store, top_k=10):
    return DeformerRetriever(document_store, top_k=top_k, mode="bm25")
"""
"""Our store and retriever under the names of those whose place they take; an index is a folder."""
SHARED_PARTS = """
import sys

import pytest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from stand_in import InMemoryDocumentStore


@pytest.fixture
def in_memory_doc_store():
    store = InMemoryDocumentStore()
    yield store
    store.shutdown()
"""
"""What the tests have from the conftest of Haystack's tests."""


def main() -> int:
    """Run both; the exit code is 0 where all pass, 3 where something could not be fetched."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return max(reader_tests(place / "reader"), store_tests(place / "store"))


def reader_tests(place: Path) -> int:
    """The tests of the reader whose place ours takes."""
    name = f"transformers-haystack=={version('transformers-haystack')}"
    source = fetched(place, name, "--no-binary", "transformers-haystack")
    if source is None:
        return not_fetched(name)
    text = (source / READER_TESTS).read_text(encoding="utf-8")
    text = text.replace("components.readers.transformers", "components.readers.deformer")
    text = text.replace("TransformersExtractiveReader", "DeformerReader")
    # Adapted: our two more parameters in what to_dict is expected to give, and our default model.
    text, n_dicts = re.subn(
        r'(assert data == \{.*?"init_parameters": \{)',
        r'\1 "document_store": None, "kept_passages": 0,',
        text,
        flags=re.DOTALL,
    )
    text, n_defaults = re.subn(r'(model_name_or_path ==) "deepset/roberta-base-squad2-distilled"', r"\1 None", text)
    print(f"{name}: expectations adapted: {n_dicts} of to_dict, {n_defaults} of the default model", flush=True)
    tests = place / "tests"
    tests.mkdir()
    (tests / "test_extractive_reader.py").write_text(text, encoding="utf-8")
    (tests / "conftest.py").write_text((source / "tests/conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    return run_pytest(tests, "-k", "not " + " and not ".join(MODELS_OF_A_HUB))


def store_tests(place: Path) -> int:
    """Haystack's tests of components on a document store, with its own store and then with ours.

    What fails with its own says nothing about ours: the source is of another version than the installed one.
    """
    url = SOURCE.format(version=version("haystack-ai"))
    at_hand = os.environ.get(AT_HAND)
    source = Path(at_hand) if at_hand else fetched(place, f"haystack-ai @ {url}")
    if source is None:
        return not_fetched(url)
    texts = {Path(name).name: (source / name).read_text(encoding="utf-8") for name in present(source)}
    theirs, ours = place / "theirs", place / "ours"
    lay_out(theirs, THEIRS, texts)
    lay_out(ours, OURS, {name: with_ours(text) for name, text in texts.items()})
    left_out = dict.fromkeys(failures(theirs), f"fails with the store of haystack-ai {version('haystack-ai')}")
    left_out |= LEFT_OUT
    for name, reason in left_out.items():
        print(f"left out: {name} ({reason})", flush=True)
    return run_pytest(ours, *(f"--deselect={name}" for name in left_out))


def present(source: Path) -> list[str]:
    """Those of the files that this version of Haystack has."""
    missing = [name for name in STORE_TESTS if not (source / name).is_file()]
    for name in missing:
        print(f"haystack-ai: {name} is not in this source")
    return [name for name in STORE_TESTS if name not in missing]


def with_ours(text: str) -> str:
    """A test file whose store and BM25 retriever are the stand-ins."""
    imports = r"from haystack\.(?:document_stores\.in_memory(?:\.\w+)?|components\.retrievers) import (InMemory\w+)"
    text = re.sub(rf"{imports}$", r"from stand_in import \1", text, flags=re.MULTILINE)
    return re.sub(r"haystack\.document_stores\.in_memory\.document_store\.(?=InMemory)", "stand_in.", text)


def lay_out(folder: Path, stand_in: str, texts: dict[str, str]) -> None:
    """A folder that pytest runs."""
    folder.mkdir(parents=True)
    for name, text in {"stand_in.py": stand_in, "conftest.py": SHARED_PARTS, **texts}.items():
        (folder / name).write_text(text, encoding="utf-8")


def failures(tests: Path) -> list[str]:
    """The tests that fail, as pytest names them.

    :raises SystemExit: where pytest itself fails, a file that cannot be imported included.
    """
    command = [*pytest_command(tests), "-rfE"]
    done = subprocess.run(command, cwd=tests, env=environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode > 1:
        sys.exit(done.stdout)
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.MULTILINE)


def fetched(place: Path, requirement: str, *options: str) -> Path | None:
    """The unpacked source that pip fetches; None where it cannot."""
    place.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), *options]
    if subprocess.run([*command, requirement], stdout=subprocess.DEVNULL).returncode:
        return None
    (archive,) = (path for path in place.iterdir() if path.name.endswith(".tar.gz"))
    with tarfile.open(archive) as content:
        content.extractall(place, filter="data")
    return next(path for path in place.iterdir() if path.is_dir())


def not_fetched(what: str) -> int:
    """One clear line, and the exit code."""
    print(f"{what}: pip could not fetch it; its tests were not run.", file=sys.stderr)
    return 3


def run_pytest(tests: Path, *options: str) -> int:
    """pytest's exit code."""
    return subprocess.run([*pytest_command(tests), *options], cwd=tests, env=environment()).returncode


def pytest_command(tests: Path) -> list[str]:
    """pytest as Haystack configures it, on a folder."""
    plain = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-o", "asyncio_mode=auto"]
    return [sys.executable, "-m", "pytest", *plain, "--rootdir", str(tests), str(tests)]


def environment() -> dict[str, str]:
    return {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False"}


if __name__ == "__main__":
    sys.exit(main())
