"""Which kind of answer does a question want?"""

from __future__ import annotations

import pytest

from deformer_qa.pipeline.answers import EmptySpans
from deformer_qa.pipeline.questions import Wanted, wanted_by

KINDS = {
    "yes_no": [
        "Can I nest transactions?",
        "does the daemon keep running while I edit the file",
        "Is it possible to turn it off?",
        "are there any limits",
        "The bridge is made of steel, right?",
        "It runs on Windows, doesn't it?",
        "In version 3, can I still use plugins?",
        "If I delete the folder, is it gone?",
        "Is it kept secret how each member voted?",
        "Do you know whether it rains there?",
        "Is it free or not?",
    ],
    "how_to": [
        "How do I restart the server?",
        "how to turn on accounts",
        "Power went out, how can I get my entries back?",
        "Can you tell me how to install it?",
        "What do I install to get a compiler?",
        "which permissions command do I run on the key file",
        "I want the file to have a different name, what do I set?",
    ],
    "why": [
        "Why was there never a version 1.0?",
        "what causes rust",
        "What is the reason for the delay?",
        "What is the main purpose of the valve?",
        "how come it is blue",
        "How does the cache work?",
        "legend: what happens if the hunter misses?",
    ],
    "definition": [
        "What is TOAST?",
        "what's an MPM",
        "what is the module magic number",
        "What is a lot in the ledger?",
        "What does the word Dakota mean?",
        "what does afaict stand for",
        "Define salvage value",
        "promissory note meaning",
        "What is meant by export-crippled?",
        "Can you explain vacuuming?",
    ],
    "list": [
        "Which signals are there?",
        "What are the members of the crew?",
        "list all signals",
        "Which ships were lost?",
        "Who were the founders of the club?",
        "Name three rivers",
        "Could you list the ships?",
    ],
    "short": [
        "How many ships were there?",
        "How much does it cost?",
        "how long may the payload be",
        "How old do you have to be?",
        "How often does it look for mail?",
        "How far is the moon?",
        "How is the highest mountain called?",
        "What is the default of the port?",
        "What is the default port?",
        "What is the name of the elephant?",
        "What is the capital of France?",
        "what is France's capital",
        "What is the boiling point of krypton?",
        "What is the maximum number of columns?",
        "What was the date of the treaty?",
        "Can you tell me who wrote it?",
        "Do you know the capital?",
        "Could you name the person who coined it?",
        "Is it Paris or Rome?",
        "Is there a limit, and which?",
        "who wrote it",
        "default port",
        "Who is it?",
        "?",
    ],
}


@pytest.mark.parametrize(("kind", "question"), [(kind, one) for kind, several in KINDS.items() for one in several])
def test_the_kind_of_answer_that_a_question_wants(kind: str, question: str) -> None:
    wanted = wanted_by(question)
    assert wanted.kind == kind
    assert wanted.is_long == (kind in ("how_to", "why", "definition", "list"))
    assert wanted.several == (kind == "list")


def test_a_choice_offers_its_answers() -> None:
    assert wanted_by("Is it Paris or Rome?") == Wanted("short", is_choice=True)
    assert not wanted_by("Is it Paris?").is_choice


@pytest.mark.parametrize(
    ("question", "span", "is_empty"),
    [
        ("Who built the bridge?", ".", True),
        ("Who built the bridge?", "--- (|)", True),
        ("Who built the bridge?", "The bridge", True),
        ("Who built the bridge?", "it was", True),
        ("Who built the bridge?", "The Karsund bridge", False),
        ("Who built the bridge?", "Ada Holm", False),
        ("What is the default of fsync?", "on", False),
        ("How do I set the most max connections?", "max_connections", False),
        ("How do I set the most max connections?", "max connections", True),
        ("In which month was it?", "May", False),
        ("Which country sent it?", "US", False),
        ("Which country sent us this?", "us", True),
        ("Was it built in Karsund or in Averil?", "Karsund", False),
        ("Is Ada Holm a baker?", "Ada Holm is a baker", False),
        ("Is Ada Holm a baker?", "a", True),
        ("川はどこですか", "日本", False),
        ("Where does the Danube’s source lie?", "the Danube's source", True),
    ],
)
def test_a_span_that_says_nothing_new_answers_nothing(question: str, span: str, is_empty: bool) -> None:
    assert (span in EmptySpans(question)) is is_empty


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("restart the server without dropping connections", "how_to"),
        ("install the plugin globally", "how_to"),
        ("make it stop at the first error", "how_to"),
        ("start date of the war", "short"),
        ("set of primes", "short"),
        ("make and model of the car", "short"),
        ("restart", "short"),
        ("Set theory axioms", "short"),
        ("check engine light meaning", "definition"),
        ("Export duties in 1900", "short"),
        ("change management process", "short"),
    ],
)
def test_a_task_typed_as_into_a_search_box_wants_its_step(question: str, kind: str) -> None:
    assert wanted_by(question).kind == kind
