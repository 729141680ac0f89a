"""And the real command? ``qa ask`` again and again, while ``qa index`` runs again and again.

A session keeps the generation that it opened, so it would prove little. Here every ask is a whole ``qa ask``, which
opens the store anew; every twentieth in a process of its own, the others as calls of the command's entry point.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from torture import world
from torture.pool import Crash, Pool
from torture.report import Result

from deformer_qa.store import verify

N_ASKERS = 2
N_FILES = 5
OWN_PROCESS = 20  # every so many asks
QUESTIONS = ("Who was in the city?", "When was the river 3?", "Where is number 2?")
PATIENCE = 900.0


def run(pool: Pool, seed: int, n: int) -> Result:
    """n asks while the index is brought up to date without a pause."""
    folder = Path(tempfile.mkdtemp(prefix="commands-", dir=pool.folder))
    share = -(-n // N_ASKERS)
    with Pool(1 + N_ASKERS) as own:
        made = own.run(prepare, [(str(folder),)])[0]
        if isinstance(made, Crash):
            return Result("commands", 0, {"preparation": [made]})
        written, *asked = own.run(play, [(str(folder), role, share) for role in range(-1, N_ASKERS)], PATIENCE)
    crashes = [one for one in (written, *asked) if isinstance(one, Crash)]
    if crashes:
        return Result("commands", 0, {"process": crashes})
    problems = [problem for one in (written, *asked) for problem in one["problems"]]
    answers: dict[tuple[str, int], str] = {}
    for question, generation, told in (entry for one in asked for entry in one["answers"]):
        if answers.setdefault((question, generation), told) != told:
            problems.append(f"generation {generation} answers {question!r} in two ways")
    problems += [f"verify names {damage.file}" for damage in verify(folder / ".qa")]
    facts = {"runs of qa index": written["runs"], "generations asked": len({place[1] for place in answers})}
    n_asked = sum(len(one["answers"]) for one in asked)
    facts["asks in a process of their own"] = sum(one["own"] for one in asked)
    shutil.rmtree(folder)
    return Result("commands", n_asked, {"all": problems[:20]} if problems else {}, facts)


def prepare(place: str) -> None:
    folder = Path(place)
    world.make_reader(folder)
    _write_number(folder, 1000)
    child = world.start(world.index_arguments(folder, folder / "corpus", folder / ".qa"))
    _, complaint = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, complaint.decode()


def _write_number(folder: Path, number: int) -> None:
    texts = {
        f"{place}.txt": f"In {number} the city was at {place}.\n\nThe river of {number}." for place in range(N_FILES)
    }
    world.write_corpus(folder / "corpus", texts)


def play(place: str, role: int, n_asks: int) -> dict[str, Any]:
    folder = Path(place)
    return _index_often(folder) if role < 0 else _ask_often(folder, role, n_asks)


def _index_often(folder: Path) -> dict[str, Any]:
    number, problems = 1000, []
    while len(list(folder.glob("ended-*"))) < N_ASKERS:
        number += 1
        _write_number(folder, number)
        child = world.start(world.index_arguments(folder, folder / "corpus", folder / ".qa"))
        _, complaint = child.communicate(timeout=PATIENCE)
        if child.returncode:
            problems.append(f"qa index ended with {child.returncode}: {complaint.decode()[-300:]}")
            break
    return {"runs": number - 1000, "problems": problems}


def _ask_often(folder: Path, role: int, n_asks: int) -> dict[str, Any]:
    problems: list[str] = []
    answers = []
    n_own = 0
    try:
        for number in range(n_asks):
            question = QUESTIONS[number % len(QUESTIONS)]
            arguments = ["ask", question, "--store", folder / ".qa", "--reader", folder / "reader", "--format", "json"]
            is_own = number % OWN_PROCESS == role
            n_own += is_own
            code, told, complaint = _by_itself(arguments) if is_own else _called(arguments)
            if code not in (0, 1) or complaint:
                problems.append(f"qa ask ended with {code}: {complaint[-300:]}")
                continue
            made = json.loads(told)
            numbers = {one for answer in made["answers"] for one in re.findall(r"\b1\d{3}\b", answer["context"])}
            if len(numbers) != 1:
                problems.append(f"one answer speaks of {sorted(numbers)}")
            del made["timings_ms"]
            answers.append((question, made["generation"], json.dumps(made, sort_keys=True)))
            time.sleep(0)
    finally:
        (folder / f"ended-{role}").touch()
    return {"answers": answers, "problems": problems, "own": n_own}


def _called(arguments: list[Any]) -> tuple[int, str, str]:
    from deformer_qa.cli.main import run as run_command

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def _by_itself(arguments: list[Any]) -> tuple[int, str, str]:
    child = world.start(arguments)
    told, complaint = child.communicate(timeout=PATIENCE)
    return child.returncode, told.decode(), complaint.decode()
