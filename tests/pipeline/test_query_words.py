"""Which words of a question count, and which name one thing."""

from __future__ import annotations

import pytest

from deformer_qa.pipeline.query_words import content_words, names


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("Who was the first keeper of the lighthouse?", "first keeper lighthouse"),
        ("how many of them are in stock", "stock"),
        ("What's the children's menu?", "children menu"),
        ("Why doesn’t it start?", "start"),
        ("O'Reilly's books", "O'Reilly books"),
        ("Is rock'n'roll loud?", "rock'n'roll loud"),
        ("What does WHO say about IT?", "WHO say IT"),
        ("Which foods have vitamin A?", "foods vitamin A"),
        ("A dog barks", "dog barks"),
        ("How do I restart it?", "restart"),
        ("an in-place upgrade at AT&T", "in-place upgrade AT&T"),
        ("the value of is_on", "value is_on"),
        ("Wo liegt das Museum?", "Wo liegt das Museum"),
        ("日本の川は何?", "日本の川は何"),
    ],
)
def test_function_words_are_left_out(question: str, left: str) -> None:
    assert content_words(question).replace("?", "").split() == left.split()


@pytest.mark.parametrize("question", ["The Who", "to be or not to be", "WHO ARE THEY", "what's that?", "?!", ""])
def test_a_question_of_function_words_alone_keeps_them(question: str) -> None:
    assert content_words(question) == question


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What is the balance of customer C-00087?", ["C-00087"]),
        ("default of max_connections", ["max_connections"]),
        ("Compare ERR_404 with ERR_500, then ERR_404 again", ["ERR_404", "ERR_500"]),
        ("explain RFC 2616, please", ["RFC 2616"]),
        ("which port does 10.0.0.1 use", ["10.0.0.1"]),
        ("where is /etc/ssh/sshd_config?", ["/etc/ssh/sshd_config"]),
        ("what does --max-size do", ["--max-size"]),
        ("what goes into postgresql.conf?", ["postgresql.conf"]),
        ("how large is std::vector", ["std::vector"]),
        ("is B12 in it", ["B12"]),
        ("apt-get", ["apt-get"]),
        ("photosynthesis", ["photosynthesis"]),
        ("What is photosynthesis?", []),
        ("long-term effects of the 19th century's wars in the 1990s", []),
        ("In 2016, how many of 3,000 men were in the U.S. Army?", []),
        ("the and/or of he/she", []),
        ("", []),
    ],
)
def test_codes_settings_and_files_are_names(question: str, found: list[str]) -> None:
    assert [name.text for name in names(question)] == found


@pytest.mark.parametrize(
    ("question", "text", "holds"),
    [
        ("C-00087", "Customer: C-00087, Name: Ada.", True),
        ("c-00087", "(C 00087)", True),
        ("ERR_404", "error ERR404.", True),
        ("C-00087", "C-000871 and XC-00087 and C-00087-2 and A_C-00087", False),
        ("C-00087", "C, see 00087", False),
        ("4.2", "42, 4-2, 4, 2, 4 2", False),
        ("1984-85", "the season 1984–85", True),
        ("1984-85", "1984, 85 or 1984/85 or 198485", False),
        ("PX/07-1041", "PX 07–1041", True),
        ("C-00087", "C and 00087", False),
        ("RFC 2616", "defined in RFC-2616; see", True),
        ("4.2.1", "version 14.2.1 or 4.2.1.3 or 3.4.2.1", False),
        ("4.2.1", "since version 4.2.1.", True),
        ("C-00087", "型番C-00087は", True),
    ],
)
def test_a_name_is_found_as_a_whole_and_with_other_marks_between_its_parts(
    question: str, text: str, holds: bool
) -> None:
    (name,) = names(question)
    assert name.pattern is not None
    assert (name.pattern.search(text) is not None) == holds


def test_a_long_list_of_codes_costs_no_more_than_some() -> None:
    assert len(names(" ".join(f"K-{number}" for number in range(500)))) == 8
