"""Check a question and tell what kind of answer it wants, before any model is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from deformer_qa.pipeline.errors import BadQuestion

Kind = Literal["yes_no", "how_to", "why", "definition", "list", "short"]
"""The kind of answer that a question wants."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_VERBS = (
    *("is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had"),
    *("can", "could", "will", "would", "shall", "should", "may", "might", "must"),
)
_FIRST_WORDS = frozenset((*_VERBS, *(f"{verb}n't" for verb in _VERBS), "can't", "won't", "cannot", "ain't"))
_ASKING = ("who", "whom", "whose", "what", "when", "where", "which", "why", "how")
_NOT_ENGLISH = _words("ist sind war waren hat haben wird que")
_CONDITIONS = _words("if in with on under for after before since at from using given as when")
_ASK = "|".join(_ASKING)
_POLITE = _any(
    r"^please (?:(?:tell|show) (?:me|us) )?",
    r"^(?:can|could|would|will) you (?:please )?(?:(?:tell|show|remind) (?:me|us)|say|explain|name|guess) ",
    r"^(?:can|could|may|might) (?:i|we) ask (?:you )?",
    r"^(?:do|does|did) (?:you|anyone|anybody|someone|somebody) (?:happen to )?(?:know|remember) ",
    r"^(?:anyone|anybody) knows? ",
    rf"^(?:is|was) it (?:known|clear|said) (?=(?:{_ASK})\b)",
    r"^(?:tell|show) (?:me|us) ",
    r"^i(?: would|'d)? (?:like|want|need) to know ",
    r"^i wonder ",
)
"""Polite phrases that may come before the question proper."""
_REQUEST = re.compile(
    r"^(?:please |(?:can|could|would|will) you (?:please )?)"
    r"(?=(?:list|name|explain|describe|define|give)\b)"
)
_TOPIC = re.compile(rf"^(?!have a )[^:?,]{{1,40}}: (?=(?:{_ASK}|{'|'.join(_VERBS)})\b)")
_TAG = _any(
    r", (?:right|correct|true|yes|no|or not)$",
    r", is that (?:right|so|true|correct)$",
    rf", (?:{'|'.join(_VERBS)})(?:n't)? (?:it|he|she|they|there|you|we|i|that|this)$",
)
_CHOICE = re.compile(r"\b(?:or|vs|versus)\b(?! not\b)")
_ALSO_ASKS = re.compile(rf"\b(?:and|if so|if not),? (?:(?:in|on|at|by|to|from|for|since|until|under) )?(?:{_ASK})\b")
_CALLED = re.compile(r"^how\b.* (?:calls?|called|named|spell|spelled|spelt|abbreviated?|pronounced?|known as)\b")
_PEOPLE = "(?:i|we|you|one|people|someone|somebody|users?|a user|the user|an? administrator)"
_MODAL = "(?:do|does|did|can|could|should|would|must|might|may|shall|will)"
_HOW_TO = _any(
    r"\bhow to\b",
    rf"\bhow {_MODAL} {_PEOPLE}\b",
    rf"\b(?:what|which (?:\S+ )?commands?) {_MODAL} {_PEOPLE}"
    r" (?:do|run|type|enter|set|change|install|configure|write)\b",
)
_TASKS = _words(
    "add allow avoid block build change check choose clear close configure connect convert copy create delete "
    "disable disconnect download edit enable exclude export force generate get hide import include install kill "
    "limit load lock make merge mount move open print prevent protect quit reload remove rename repair replace "
    "reset restart restore resume run save search see select send set show skip sort split start stop switch "
    "turn undo uninstall unlock update upgrade use verify view write"
)
_NO_OBJECTS = _words(
    "of and or is are was were in on at by for date time times day year case cases size name names number price point"
    " file files mode option options command order rate type version"
)
"""Words that follow one of ``_TASKS`` where that is a noun: "start date of the war", "set of primes", "use cases"."""
_DETERMINERS = _words("a an the my our your its all every each this that these those it them one two three up down off")
_MANNER = _words(
    "a an the without with when if while before after from to into at as so until my our it them everything"
)
"""Words of tasks, rare after a noun: "restart it without ..." is a task, "set theory axioms" is not."""
_WHY = _any(
    r"^(?:for |and |and so |so )?(?:why|how come)\b",
    r"^what (?:\w+ )?(?:causes?|caused|makes|happens|happened)\b",
    r"^(?:for )?what reasons?\b",
    r"^what(?:'s| is| was| are| were) the (?:main |real |only |exact )?"
    r"(?:reasons?|causes?|purpose|point of|motivation|rationale|idea|effects?|consequences?)\b",
)
_DEFINE = _any(
    r"^(?:define|explain|describe)\b",
    r"\bwhat (?:does|do|did) .+ (?:mean|stand for)(?: in .+)?$",
    r"^what(?:'s| is| are) (?:meant|understood) by\b",
    r"\b(?:definition|meaning) of\b",
    r"\b(?:meaning|definition|abbreviation)$",
    r"^what(?:'s| is| are) the differences? between\b",
    r"^what(?:'s| is| are) .+ (?:used for|good for|about)$",
)
_BARE_TERM = re.compile(r"^what(?:'s|'re| is| are| was| were) (?P<term>\S+(?: \S+){0,4}?)(?P<where> in \S+(?: \S+)?)?$")
_LIST = _any(
    r"^(?:list|enumerate)\b",
    r"^name (?:all|some|two|three|four|five|a few)\b",
    r"^give (?:me )?(?:a list|all|some|examples)\b",
    r"^(?:what|which) (?:kind|type|sort|way)s? of\b.*\b(?:are|exist|there)\b",
    r"^(?:what|which|who) (?:are|were) (?:all |some )?(?:of )?the (?:\S+ ){0,3}?(?P<plural>\w+s)\b",
    rf"^(?:what|which) (?P<of>(?:\S+ ){{0,2}}\w+s) (?:{'|'.join(_VERBS)}|exist)\b",
)
_ONE_THING = _words(
    "name names number date day year time place size length width height age price cost value default maximum minimum"
    " max min capital population address url port version limit title colour color language currency password path"
    " command option author licence license rate speed weight temperature distance radius diameter current latest first"
    " last next highest lowest only same right correct best status"
)
"""First or last words of phrases that have one short answer: "what is the default ...", "what is the capital"."""
_RELATIONS = _words("of in on at for to from by with when if that which used between as per does do did")
_OWNERS = _words("my your his her its our their this that these those it there")


@dataclass(frozen=True)
class Wanted:
    """What kind of answer a question wants, and how many things it asks for.

    :ivar is_choice: the question offers its answers, as in "Is it Paris or Rome?"
    :ivar asks_twice: the question asks for two things, as in "who wrote it, and in which year"
    """

    kind: Kind
    is_choice: bool = False
    asks_twice: bool = False

    @property
    def is_long(self) -> bool:
        """Whether the answer is a sentence, a step or a list rather than a few words."""
        return self.asks_twice or self.kind in ("how_to", "why", "definition", "list")

    @property
    def several(self) -> bool:
        """Whether the question asks for more than one thing."""
        return self.kind == "list"


def wanted_by(question: str) -> Wanted:
    """Classify an English question by the kind of answer it wants; "short" if that is not clear."""
    asked = _plain(question)
    is_choice = _CHOICE.search(asked) is not None
    asked, was_polite = _question_proper(asked)
    kind: Kind = "short"
    if _wants_yes_or_no(asked, is_choice) or (was_polite and re.match(r"(?:if|whether)\b", asked)):
        kind = "yes_no"
    elif _HOW_TO.search(asked) and not _CALLED.search(asked):
        kind = "how_to"
    elif _WHY.search(asked) or _asks_how_it_works(asked):
        kind = "why"
    elif _wants_list(asked):
        kind = "list"
    elif _DEFINE.search(asked) or _asks_for_a_term(asked):
        kind = "definition"
    elif _is_task(asked):
        kind = "how_to"
    return Wanted(kind, is_choice, asked.startswith(_ASKING) and _ALSO_ASKS.search(asked) is not None)


def _plain(question: str) -> str:
    """Lower-case a question, normalise its blanks and drop the punctuation at its end."""
    return " ".join(question.lower().replace("\u2019", "'").split()).rstrip(" ?!.")


def _question_proper(asked: str) -> tuple[str, bool]:
    """Drop a topic before a colon and polite words; return the rest and whether there were polite words."""
    asked = _TOPIC.sub("", asked)
    request = _REQUEST.sub("", asked)
    if request != asked:
        return request, False
    proper = _POLITE.sub("", asked)
    return proper, proper != asked


def _wants_yes_or_no(asked: str, is_choice: bool) -> bool:
    words = re.findall(r"[\w']+", asked)
    if len(words) < 2 or is_choice:
        return False
    if _TAG.search(asked) and words[0] not in _ASKING:
        return True
    clause = asked.rpartition(", ")[2]
    if words[0] in _CONDITIONS and clause != asked:
        words = re.findall(r"[\w']+", clause)
    if len(words) < 2 or words[0] not in _FIRST_WORDS:
        return False
    if words[1][0].isdigit() or words[1] in _NOT_ENGLISH or words[:2] == ["have", "a"]:
        return False
    return words[-1] not in _ASKING and words[1] not in _ASKING and not _ALSO_ASKS.search(asked)


def _is_task(asked: str) -> bool:
    """Whether this is a task as typed into a search box: "restart the server without dropping connections"."""
    words = asked.split()
    if len(words) < 3 or words[0] not in _TASKS or words[1] in _NO_OBJECTS:
        return False
    return words[1] in _DETERMINERS or bool(_MANNER.intersection(words[2:])) or words[-1].endswith("ly")


def _asks_how_it_works(asked: str) -> bool:
    """Whether this asks "How does it ..."; "how long is it" and "how is it called" want a few words."""
    second = re.match(r"how (\w+)", asked)
    return bool(second and second[1] in _VERBS and not _CALLED.search(asked))


def _wants_list(asked: str) -> bool:
    found = _LIST.search(asked)
    if not found:
        return False
    phrase = found["plural"] or found["of"]
    if phrase is None:
        return True
    words = phrase.split()
    return words[0] not in _VERBS and words[-1] not in _FIRST_WORDS and not words[-1].endswith(("ss", "us", "is", "'s"))


def _asks_for_a_term(asked: str) -> bool:
    """Whether this asks "What is X" for a bare term or abbreviation X, not for something of X."""
    found = _BARE_TERM.match(asked)
    if not found:
        return False
    words = found["term"].split()
    if found["where"] and words[0] == "the":
        return False
    if words[0] in ("a", "an", "the"):
        words = words[1:]
    if not words or words[0] in _OWNERS or words[0] in _ONE_THING or words[0].endswith("est"):
        return False
    is_of_something = _RELATIONS.intersection(words) or any(word.endswith(("'s", "s'")) for word in words)
    return (
        not is_of_something and not (len(words) > 1 and words[-1] in _ONE_THING - {"number"}) and words[0][0].isalpha()
    )


MOST_CHARACTERS = 10_000
"""The limit of a question that is encoded. 254 word pieces are far shorter; a longer text is refused at no cost."""


def checked_question(question: str, most: int | None = MOST_CHARACTERS) -> str:
    """Return the question without blanks around it.

    :param most: the limit in characters; None sets no limit, for a search by words alone.
    :raises BadQuestion: if the question is blank, too long or not Unicode text.
    """
    question = question.strip()
    if not question:
        raise BadQuestion('The question is empty; ask something, for example: qa ask "Who wrote it?"')
    if most is not None and len(question) > most:
        raise BadQuestion(f"The question has {len(question):,} characters, at most {most:,} are taken; shorten it.")
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:
        raise BadQuestion("The question is not Unicode text; type or send it as UTF-8.") from None
    return question
