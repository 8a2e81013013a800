"""What a model that does not keep to a form by itself may write, as GBNF.

A model of 135M parameters writes a list for 3 of 10 questions, and for all of them when nothing else can be
written. The form is that of the paper: a numbered list of short points, then whole sentences for each, both in
the script of the question. Sentences are counted, not measured: a greatest length makes a grammar slow, and the
token limit is one. Words are measured, or small models glue them into one that never ends.
"""

import re
from typing import Final

_SCRIPTS: Final = {
    "A-ZÀ-ÖØ-Þ": "À-ÖØ-öø-ɏ",
    "Α-Ω": "Α-Ωά-ώ",
    "А-ЯЁ": "А-яЁё",
    "א-ת": "א-ת",
    "ء-ي": "ء-ْ",
    "अ-ह": "ऀ-ॏ",
    "ก-ฮ": "ก-๎",
    "ぁ-ヿ㐀-鿿": "ぁ-ヿ㐀-鿿",
    "가-힣": "가-힣",
}
"""Letters that may begin a sentence, and all letters of the script but A to z."""

_WITHOUT_BLANKS: Final = ("ก-ฮ", "ぁ-ヿ㐀-鿿")

# In a class plain signs come first: the engine loses those that follow others.
_WORD = r"[A-Za-z'\-{letters}’]"
_SENTENCE = r"[A-Za-z0-9\-,;:'()%&/{letters}’“”–—，、；：（）《》]"


def list_grammar(max_points: int, question: str) -> str:
    """Allow a numbered list of 3 to *max_points* points of 1 to 8 words in the script of *question*.

    The points are bold, as small models write the titles of a list by themselves: so they end them by themselves, after
    three words of sense where five plain ones ended in nonsense.
    """
    first, letters = _script_of(question)
    most = max(max_points, 3)
    more = [
        f'more{number} ::= "\\n{number}. **" title "**"' + (f" more{number + 1}?" if number < most else "")
        for number in range(4, most + 1)
    ]
    return "\n".join([
        'root ::= "1. **" title "**\\n2. **" title "**\\n3. **" title "**"' + (" more4?" if most > 3 else ""),
        *more,
        'title ::= first (" " word){0,7}',
        f"first ::= [{first}] {_WORD.format(letters=letters)}{{0,15}}",
        f"word ::= [A-Za-z{letters}] {_WORD.format(letters=letters)}{{0,15}}",
    ])


def sentences_grammar(least: int, most: int, question: str) -> str:
    """Allow *least* to *most* sentences on one line, in the script of *question*, the first after a blank."""
    first, letters = _script_of(question)
    signs = _SENTENCE.format(letters=letters)
    words = f"{signs}{{12,}}" if first in _WITHOUT_BLANKS else f'{signs}{{0,15}} (" " {signs}{{1,16}}){{3,}}'
    return "\n".join([
        f'root ::= " " sentence (" " sentence){{{least - 1},{most - 1}}}',
        f"sentence ::= [{first}] {words} [.!?。！？]",
    ])


def _script_of(text: str) -> tuple[str, str]:
    """Return the script that most of *text* is in: the letters that may begin, and all."""
    found = {first: len(re.findall(f"[{letters}]", text)) for first, letters in _SCRIPTS.items()}
    most = max(found, key=found.__getitem__)
    return (most, _SCRIPTS[most]) if found[most] > len(re.findall("[A-Za-z]", text)) else next(iter(_SCRIPTS.items()))
