"""Compare ways to give BM25 words of a text without blanks, by questions about places, each with one right passage.

python benchmarks/words_of_scripts.py
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise, product

from deformer_qa.store.segments import catalogue as schema
from deformer_qa.store.segments import words

# Places, sentences about each, and questions about each; both as people write, in different words.
LANGUAGES = {
    "Chinese": (
        "北京 上海 南京 東京 西安 西宁 南宁 海口 上饶 北海 "
        "天津 天水 武汉 武威 长春 长沙 大连 大同 青岛 青海 "
        "成都 重庆 广州 广元 杭州 苏州 徐州 福州 兰州 郑州",
        [
            "{}的气候温和，夏天多雨。",
            "{}大学成立于一九二〇年。",
            "很多人坐火车去{}看古老的城墙。",
            "{}以丝绸和茶叶闻名于世。",
        ],
        [
            "{}的夏天下雨吗？",
            "哪一年建立了{}大学？",
            "怎么去{}看城墙？",
            "{}有什么有名的特产，茶叶吗？",
        ],
    ),
    "Japanese": (
        "東京 京都 大阪 大津 名古屋 札幌 仙台 広島 福岡 福島 "
        "長崎 長野 金沢 神戸 横浜 奈良 岡山 松山 松本 高松 "
        "高知 山口 山形 富山 和歌山 水戸 盛岡 静岡 鹿児島 沖縄",
        [
            "{}の冬は寒く、雪がたくさん降る。",
            "{}大学は一九四九年に設立された。",
            "{}城は江戸時代に建てられた。",
            "{}では毎年八月に祭りが開かれる。",
        ],
        [
            "{}で雪は降りますか？",
            "{}大学はいつ設立されましたか？",
            "{}のお城はいつ建てられたのか？",
            "八月の祭りは{}のどこで？",
        ],
    ),
    "Korean": (
        "서울 부산 대구 대전 인천 광주 울산 수원 춘천 강릉 "
        "전주 청주 제주 포항 경주 안동 목포 여수 순천 진주 "
        "창원 김해 구미 원주 천안 공주 남원 통영 거제 속초",
        [
            "{}의 겨울은 춥고 눈이 많이 내린다.",
            "{}대학교는 1946년에 설립되었다.",
            "{}에는 오래된 성벽이 남아 있다.",
            "{}에서는 해마다 가을에 축제가 열린다.",
        ],
        [
            "{}에 눈이 내리나?",
            "{}에 있는 대학교가 설립된 해는?",
            "{}의 성벽은 어디에 있나?",
            "{}의 축제는 언제 열리나?",
        ],
    ),
    "Thai": (
        "กรุงเทพ เชียงใหม่ เชียงราย ขอนแก่น อุดรธานี อุบลราชธานี ภูเก็ต สงขลา ลำปาง ลำพูน "
        "น่าน แพร่ พะเยา ตาก สุโขทัย พิษณุโลก อยุธยา ลพบุรี สระบุรี ชลบุรี "
        "ระยอง ตราด จันทบุรี ราชบุรี กาญจนบุรี เพชรบุรี กระบี่ ตรัง พัทลุง ยะลา",
        [
            "ฤดูฝนใน{}เริ่มต้นในเดือนพฤษภาคม",
            "มหาวิทยาลัย{}ก่อตั้งขึ้นในปี ๒๕๐๗",
            "กำแพงเมืองเก่าของ{}สร้างด้วยอิฐ",
            "ชาว{}จัดงานลอยกระทงทุกปี",
        ],
        [
            "{}ฝนตกเดือนไหน",
            "ใครก่อตั้งมหาวิทยาลัย{}",
            "กำแพงเมือง{}สร้างด้วยอะไร",
            "งานลอยกระทงที่{}จัดเมื่อไร",
        ],
    ),
    "Hindi": (
        "दिल्ली मुंबई कोलकाता चेन्नई जयपुर जोधपुर उदयपुर नागपुर कानपुर लखनऊ "
        "वाराणसी पटना भोपाल इंदौर ग्वालियर सूरत पुणे नासिक आगरा मेरठ "
        "देहरादून शिमला अमृतसर लुधियाना चंडीगढ़ रांची रायपुर जबलपुर बीकानेर अजमेर",
        [
            "{} में बारिश जून में शुरू होती है।",
            "{} विश्वविद्यालय की स्थापना १९४७ में हुई।",
            "{} का पुराना किला लाल पत्थर का है।",
            "{} की मिठाई बहुत प्रसिद्ध है।",
        ],
        [
            "बारिश {} में कब होती है?",
            "विश्वविद्यालय {} में कब बना?",
            "किला जो {} में है, किस पत्थर का है?",
            "{} किस मिठाई के लिए प्रसिद्ध है?",
        ],
    ),
}


def _pairs(letters: list[str]) -> list[str]:
    return [*map("".join, pairwise(letters))] or letters


def _triples(letters: list[str]) -> list[str]:
    return [*map("".join, zip(letters, letters[1:], letters[2:], strict=False))] or ["".join(letters)]


def _in_words(words: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    def of_run(run: re.Match[str]) -> str:
        return " ".join(["", *words(words._LETTER.findall(run.group())), ""])

    return lambda text: words._RUN.sub(of_run, text).translate(words._MARKS)


FIRST = 2  # of 120 passages, four of them about the place
WAYS: dict[str, Callable[[str], str]] = {
    "FTS5 alone": str,
    "letters": _in_words(list),
    "pairs": _in_words(_pairs),
    "triples": _in_words(_triples),
    "letters and pairs": words.spelled,
}


def main() -> None:
    """Print the share of questions whose passage BM25 ranks among the first, and how fast texts are spelled."""
    print(f"{'':18}", *(f"{language:>9}" for language in LANGUAGES))
    for name, spelled in WAYS.items():
        shares = [_first(spelled, *of_language) for of_language in LANGUAGES.values()]
        print(f"{name:18}", *(f"{share:9.2f}" for share in shares))
    for what, text in (("Latin", "The café by the river is old. " * 100_000), ("Chinese", "故宫建于1420年。" * 30_000)):
        started = time.perf_counter()
        words.spelled(text)
        print(f"{what}: {len(text) / (time.perf_counter() - started) / 1e6:.1f} million characters a second")


def _first(spelled: Callable[[str], str], places: str, said: list[str], asked: list[str]) -> float:
    passages = [fact.format(place) for place, fact in product(places.split(), said)]
    questions = [question.format(place) for place, question in product(places.split(), asked)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(body, tokenize='{schema.TOKENIZER}')")
        connection.execute(f"CREATE VIRTUAL TABLE q USING fts5(body, tokenize='{schema.TOKENIZER}')")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(q, row)")
        connection.executemany("INSERT INTO t(rowid, body) VALUES (?, ?)", enumerate(map(spelled, passages)))
        right = 0
        for number, question in enumerate(questions):
            connection.execute("DELETE FROM q")
            connection.execute("INSERT INTO q(body) VALUES (?)", (spelled(question),))
            words = " OR ".join(f'"{word}"' for (word,) in connection.execute("SELECT term FROM words"))
            best = connection.execute(
                "SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank, rowid LIMIT ?", (words, FIRST)
            )
            right += (number,) in best.fetchall()
    return right / len(questions)


if __name__ == "__main__":
    main()
