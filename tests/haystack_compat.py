"""``make haystack-compat``: the tests of others, against our components in the place of theirs.

Fetched by pip when run, none of them kept: the reader's tests from the source distribution of transformers-haystack,
and Haystack's own tests of components that work on a document store from its source archive. Names are replaced, and
what asserts a class's own serialised form, or its default model, is adapted or left out; each such case is listed.
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
SERIALISED_FORM = "to_dict or from_dict or serialization or serde"
SOURCE = "https://github.com/deepset-ai/haystack/archive/refs/tags/v{version}.tar.gz"

STAND_IN = '''
"""Our store under the name of the one whose place it takes; each gets a folder of its own."""
import tempfile
from haystack_integrations.document_stores.deformer import DeformerDocumentStore
from deformer_qa.pipeline.shared_readers import shared_reader
HELD = shared_reader()


class InMemoryDocumentStore(DeformerDocumentStore):
    def __init__(self, path=None, reader=None, **_):
        super().__init__(path or tempfile.mkdtemp() + "/store", reader=reader)
'''


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
    return run_pytest(tests, "not " + " and not ".join(MODELS_OF_A_HUB))


def store_tests(place: Path) -> int:
    """Haystack's tests of components on a document store."""
    url = SOURCE.format(version=version("haystack-ai"))
    source = fetched(place, f"haystack-ai @ {url}")
    if source is None:
        return not_fetched(url)
    tests = place / "tests"
    tests.mkdir()
    (tests / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    (tests / "conftest.py").write_text("import sys\nsys.path.insert(0, __file__.rsplit('/', 1)[0])\n", encoding="utf-8")
    for name in STORE_TESTS:
        if not (source / name).is_file():
            print(f"haystack-ai: {name} is not in this version")
            continue
        text = (source / name).read_text(encoding="utf-8")
        text = re.sub(
            r"from haystack\.document_stores\.in_memory(?:\.\w+)? import InMemoryDocumentStore",
            "from stand_in import InMemoryDocumentStore",
            text,
        )
        (tests / Path(name).name).write_text(text, encoding="utf-8")
    return run_pytest(tests, f"not ({SERIALISED_FORM})")


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


def run_pytest(tests: Path, chosen: str) -> int:
    """pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", chosen, str(tests)]
    environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False"}
    return subprocess.run([*command, "--rootdir", str(tests)], cwd=tests, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
