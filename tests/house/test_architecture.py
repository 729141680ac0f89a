"""The house rules that a reviewer would check by hand: who may import whom, what is packed, what stays unloaded."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
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


def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


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


def test_training_needs_only_torch_transformers_and_safetensors() -> None:
    needed = {name.split(".")[0] for file in (REPOSITORY / "reader").rglob("*.py") for name in _imported(file)} - set(
        sys.stdlib_module_names
    )
    # huggingface_hub and tokenizers come with transformers, numpy with torch's users.
    assert needed <= {"deformer_qa", "torch", "transformers", "safetensors", "tokenizers", "huggingface_hub", "numpy"}


def test_every_module_says_what_it_is_for_and_is_not_long() -> None:
    for room in ROOMS:
        for file in (REPOSITORY / room).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree), f"{file}: no docstring"
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, f"{file}: over 400 lines"


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from deformer_qa.cli.main import run\n"
        "assert run(['--help']) == 0 and run(['ask', '--help']) == 0\n"
        f"print([name for name in {(*HEAVY, 'numpy')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout[-300:]


def test_asking_loads_torch_but_neither_transformers_nor_a_compiler(example_store: Path) -> None:
    code = (
        "import sys\nfrom deformer_qa.cli.main import main\n"
        f"try: main(['ask', 'Who was Magellan?', '--store', {str(example_store)!r}])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("['torch']"), done.stdout[-300:]


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
    if not name.startswith("pipeline/haystack_components/"):
        return f"deformer_qa/{name}"
    kind, *rest = name.split("/")[2:]
    parent = "" if kind == "document_stores" else "components/"
    return "/".join([f"haystack_integrations/{parent}{kind}/deformer", *rest])


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
        if name.split("/")[0] in ROOMS and name.endswith((".py", ".toml", ".json", ".safetensors", ".md"))
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
