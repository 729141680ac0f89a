"""The house rules that a reviewer would check by hand: who may import whom, what is packed, what stays unloaded."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Collection
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("pipeline", "indexer", "store", "reader", "lab", "cli")
ALLOWED = {
    "store": set(),
    "reader": set(),
    "indexer": {"reader", "store"},
    "pipeline": {"reader", "store"},
    "lab": {"reader", "store", "indexer", "pipeline"},
    "cli": {"reader", "store", "indexer", "pipeline", "lab"},
}
HEAVY = ("torch", "transformers", "sentence_transformers", "haystack", "faiss")
UNUSED_BY_ASKING = (
    *("faiss", "haystack", "onnx", "pandas", "prompt_toolkit", "rich", "scipy", "sklearn", "sqlite_utils"),
    *("torch", "transformers", "deformer_qa.indexer", "deformer_qa.lab", "deformer_qa.reader.networks"),
    *("deformer_qa.store.upkeep", "deformer_qa.store.writer"),
)
"""Loaded by no question with plain output over a store without a vector index."""


def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def _product_files() -> list[Path]:
    return sorted(file for room in ROOMS for file in (REPOSITORY / room).rglob("*.py"))


def _module(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(("deformer_qa", *(part for part in parts if part != "__init__")))


def _uses(file: Path, modules: Collection[str]) -> set[str]:
    """Which of these modules a file imports, or names of."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & set(modules) or {node.module} & set(modules)
    return found - {_module(file)}


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_what_lies_below_it(room: str) -> None:
    for file in (REPOSITORY / room).rglob("*.py"):
        for name in _imported(file):
            parts = name.split(".")
            if parts[0] == "deformer_qa" and len(parts) > 1:
                assert parts[1] in {room, *ALLOWED[room]}, f"{file.relative_to(REPOSITORY)} imports {name}"


@pytest.mark.parametrize(("room", "banned"), [("store", {"torch", "transformers", "haystack"})])
def test_the_store_knows_nothing_of_networks(room: str, banned: set[str]) -> None:
    for file in (REPOSITORY / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in _imported(file)} & banned, file


def test_the_reader_needs_few_libraries() -> None:
    needed = {name.split(".")[0] for file in (REPOSITORY / "reader").rglob("*.py") for name in _imported(file)} - set(
        sys.stdlib_module_names
    )
    # huggingface_hub and tokenizers come with transformers, numpy with torch's users.
    models = {"torch", "transformers", "safetensors", "tokenizers", "huggingface_hub", "numpy", "onnx", "onnxruntime"}
    assert needed <= {"deformer_qa", "platformdirs", *models}


def test_torch_is_imported_only_by_networks_and_what_runs_them() -> None:
    """A plain import at the top of a file, which loads torch with it; functions may import it when they run."""
    users = {
        file.relative_to(REPOSITORY / "reader").as_posix()
        for file in (REPOSITORY / "reader").rglob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "torch" in ast.unparse(node).split()[1].split(".")[0]
    }
    allowed = {"engines/torch_engine.py", "fine_tuned.py"}
    assert {one for one in users if not one.startswith("networks/")} == allowed


def test_every_module_says_what_it_is_for_and_is_not_long() -> None:
    for file in _product_files():
        text = file.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{file}: no docstring"
        assert len(text.splitlines()) <= 600, f"{file}: over 600 lines"


def test_a_folder_holds_few_files_named_by_nouns() -> None:
    folders: dict[Path, list[Path]] = {}
    for file in _product_files():
        folders.setdefault(file.parent, []).append(file)
    for folder, files in folders.items():
        most = 28 if folder.name == "formats" else 18
        assert len(files) <= most, f"{folder.relative_to(REPOSITORY)}: {len(files)} files, at most {most}"
    gerunds = {file.stem for file in _product_files() if file.stem.endswith("ing")}
    assert gerunds <= {"encoding", "text_encoding", "opening", "pending", "ranking", "reading"}, (
        gerunds
    )  # which are nouns too


def test_no_symbolic_link_is_in_git() -> None:
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not [line for line in listed.stdout.splitlines() if line.startswith("120000")]


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_itself_by_way_of_others(room: str) -> None:
    modules = {_module(file): file for file in (REPOSITORY / room).rglob("*.py")}
    uses = {name: _uses(file, modules) for name, file in modules.items()}
    while free := [name for name, used in uses.items() if not used & uses.keys()]:
        for name in free:
            del uses[name]
    assert not uses, f"circles of imports among {sorted(uses)}"


@pytest.mark.parametrize("room", ["store", "indexer"])
def test_others_import_the_face_of_a_folder(room: str) -> None:
    face = ast.parse((REPOSITORY / room / "__init__.py").read_text(encoding="utf-8"))
    (opened,) = (
        ast.literal_eval(node.value)
        for node in face.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OPEN_MODULES"
    )
    for file in [*_product_files(), REPOSITORY / "deformer_qa" / "index.py"]:
        if file.relative_to(REPOSITORY).parts[0] == room:
            continue
        for name in _imported(file):
            parts = name.split(".")
            if parts[:2] == ["deformer_qa", room] and len(parts) > 2:
                assert parts[2] in opened, f"{file.relative_to(REPOSITORY)} imports {name}"


def test_nothing_but_the_command_line_imports_it() -> None:
    for folder in ("benchmarks", "examples", *(room for room in ROOMS if room != "cli")):
        for file in (REPOSITORY / folder).rglob("*.py"):
            found = [name for name in _imported(file) if name.startswith("deformer_qa.cli")]
            assert not found, f"{file.relative_to(REPOSITORY)} imports {found}"


def test_a_breakpoint_stops_in_the_file_that_is_edited(tmp_path: Path) -> None:
    script = tmp_path / "call.py"
    script.write_text("from deformer_qa.store.manifest import to_bytes\nto_bytes(None)\n")
    edited = REPOSITORY / "store" / "manifest.py"
    lines = edited.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("def to_bytes"))
    body = next(
        number for number, line in enumerate(lines, 1) if number > first and not line.lstrip().startswith('"""')
    )
    done = subprocess.run(
        [sys.executable, "-m", "pdb", str(script)],
        input=f"b store/manifest.py:{body}\nc\nq\n",
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert f"> {edited}({body})to_bytes()" in done.stdout, done.stdout + done.stderr


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from deformer_qa.cli.main import run\n"
        "assert run(['--help']) == 0 and run(['ask', '--help']) == 0\n"
        f"print([name for name in {(*HEAVY, 'numpy')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout[-300:]


@pytest.mark.parametrize("command", [("ask", "Who was Magellan?"), ("search", "Magellan"), ("show", "1")])
def test_asking_loads_only_what_it_uses(command: tuple[str, str], example_store: Path) -> None:
    code = (
        "import sys\nfrom deformer_qa.cli.main import run\n"
        f"code = run([*{command!r}, '--store', {str(example_store)!r}, '--format', 'plain'])\n"
        f"print(code, [name for name in {UNUSED_BY_ASKING!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout[-300:] + done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, deformer_qa\nprint([name for name in {(*HEAVY, 'numpy')!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pyproject_names_every_package() -> None:
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {"deformer_qa"} | {
        _installed(str(file.parent.relative_to(REPOSITORY))).replace("/", ".")
        for room in ROOMS
        for file in (REPOSITORY / room).rglob("__init__.py")
    }
    assert listed == there


def _installed(name: str) -> str:
    """Where a file or folder of the repository lies once installed; Haystack trusts only its own namespace."""
    kind, *rest = name.removeprefix("pipeline/haystack/").split("/")
    if not name.startswith("pipeline/haystack/") or kind not in _HAYSTACK:
        return f"deformer_qa/{name}"
    return "/".join([f"haystack_integrations/{_HAYSTACK[kind]}/deformer", *rest])


_HAYSTACK = {
    "store": "document_stores",
    "reader": "components/readers",
    "retriever": "components/retrievers",
    "indexer": "components/writers",
}


def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    import shutil

    for name in tracked.stdout.splitlines():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, target, follow_symlinks=False)
    build = "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=tree, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        _installed(name)
        for name in tracked.stdout.splitlines()
        if name.split("/")[0] in ROOMS and name.endswith((".py", ".toml", ".json", ".safetensors", ".onnx", ".md"))
    }
    assert expected <= packed
    assert {name for name in packed if ".dist-info/" not in name} <= expected | {
        "deformer_qa/__init__.py",
        "deformer_qa/index.py",
        "deformer_qa/py.typed",
    }
    assert "deformer_qa/reader/shipped/reader.safetensors" in packed


def test_nothing_private_is_named_in_the_project() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    forbidden = re.compile(r"(?<![\w/.])/(?:work|root|opt|home)/")
    for name in tracked.stdout.splitlines():
        path = REPOSITORY / name
        if (
            path.is_file()
            and not path.is_symlink()
            and path.suffix in (".py", ".md", ".toml", ".txt", ".json", ".yaml")
        ):
            found = forbidden.search(path.read_text(encoding="utf-8"))
            assert found is None or name.startswith("tests/house/"), f"{name}: {found}"
