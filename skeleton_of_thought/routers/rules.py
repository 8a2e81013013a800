r"""Written rules: the questions that a skeleton does not suit, told by their words alone.

The paper's labels say which those are (section 4 and appendix C): answers that are no list of independent
points, or too short to gain. So the rules look for answers of another form: code, mathematics, a strict
format, one fact, a translation or another change to a given text, a story or a letter, and steps that build
on each other. What no rule knows gets a skeleton.

The words are English, Chinese, Spanish, French and German. Rules cost no time and no call, and explain
themselves. They see the question only, never the passages or the history.

>>> route(Question("Translate 'good morning' into French")).why
'a given text is translated or edited'
"""

import re
from dataclasses import dataclass

from ..answer import Question, Route


@dataclass(frozen=True, slots=True)
class _Rule:
    why: str
    pattern: re.Pattern[str]


def _rule(why: str, *alternatives: str) -> _Rule:
    return _Rule(why, re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.IGNORECASE))


_LANGUAGES = (
    r"(?:python|javascript|typescript|java|kotlin|swift|golang|rust|c\+\+|c#|ruby|php|perl|scala|haskell|bash|shell|sql"
    r"|html|css|matlab|regex|regular expression|assembly|powershell|cuda|verilog|latex|excel)"
)
_CODE_THING = (
    r"(?:function|class|method|script|program|query|snippet|algorithm|code|unit tests?|regex|macro|api endpoint)"
)
_MAKE = r"(?:write|create|implement|code|develop|generate|build|give me|make|design|debug|fix|refactor|optimi[sz]e|complete)"
_TEXT = (
    r"(?:story|stories|poem|haiku|sonnet|limerick|novel|song|lyrics|rap|joke|riddle|fairy ?tale|fable|screenplay"
    r"|dialogue|monologue|scene|diary|letter|e-?mail|message|tweet|caption|slogan|headline|blog post|essay|article|review"
    r"|speech|toast|cover letter|press release|obituary|eulogy|resume|cv)"
)

_RULES = (
    _rule(
        "the answer is code",
        r"```",
        rf"\b{_MAKE}\b[^.?!]*\b{_CODE_THING}\b[^.?!]*",
        rf"\b{_MAKE}\b[^.?!]*(?<!\w){_LANGUAGES}(?!\w)",
        rf"\b(?:in|using|with) {_LANGUAGES}(?!\w)",
        r"\b(?:def|class|import|return|SELECT|public static|console\.log|#include)\b.*[(;{*]",
        r"\b(?:stack ?trace|traceback|segmentation fault|compil(?:e|ation) error|exception is thrown)\b",
        r"写(?:一个|一段)?.{0,12}(?:函数|代码|程序|脚本|算法)|(?:escribe|crea|programa) .{0,30}(?:función|código|programa)",
        r"(?:schreib\w*|écris|écrire) .{0,30}(?:funktion|programm|fonction|code)",
    ),
    _rule(
        "the answer is a calculation or a proof",
        r"\d\s*[-+*/×÷^=<>]\s*[-(]?[\dx]",
        r"\b(?:calculate|compute|solve|evaluate|simplify|differentiate|integrate|factori[sz]e|prove|derive)\b",
        r"\b(?:integral|derivative|equation|square root|probability that|how many (?:ways|times|different))\b",
        r"\b(?:what is|what's|find)\b[^.?!]*\b(?:sum|product|average|median|percent(?:age)?|value) of\b",
        r"\bhow (?:many|much|long|far|fast|old)\b[^.?!]*\bif\b|\bif\b[^?]*\bhow (?:many|much|long|far|fast|old)\b",
        r"\bestimate (?:the|how)\b|计算|求解|证明|方程|calcula\b|resuelve|demuestra|berechne|löse|beweise|calcule[rz]?\b|résous",
    ),
    _rule(
        "the answer has a strict format",
        r"\b(?:json|yaml|xml|csv|toml|markdown table|html table)\b",
        r"\b(?:as|in|into|make|create|with) (?:a |an )?(?:[\w-]+ )?(?:table|spreadsheet)\b",
        r"\b(?:answer|reply|respond) (?:only )?(?:with|in) (?:only |just |one |a single |yes|no\b|true|exactly)",
        r"\byes or no\b|\btrue or false\b|\bmultiple[- ]choice\b|\bclassify\b|\bextract\b|\blabel (?:the|each|this)\b",
        r"\bin (?:one|1|a single|two|2) (?:words?|sentences?|lines?)\b|\bone[- ]word\b|表格|用一句话|只回答",
    ),
    _rule(
        "a given text is translated or edited",
        r"\b(?:translate|paraphrase|rephrase|rewrite|reword|proofread|summari[sz]e|shorten|transcribe|transliterate)\b",
        r"\b(?:correct|edit|improve|polish|fix|check)\b[^.?!]*\b(?:grammar|spelling|text|sentence|paragraph|punctuation)\b",
        r"\bhow do you say\b|\bwhat does\b[^?]*\bmean in (?:english|spanish|french|german|chinese|japanese)\b|\btl;?dr\b",
        r"翻译|改写|润色|总结(?:一下|以下|这)|概括|tradu(?:ce|cir|is|ire)|resum[ea]\b|übersetz|fasse .*zusammen|résume[rz]?\b",
    ),
    _rule(
        "the answer is one running text",
        rf"\b(?:write|compose|draft|create|tell|craft|give|make|continue|finish)\b[^.?!]{{0,80}}\b{_TEXT}\b",
        r"\b(?:pretend|imagine|act as|role-?play|you are (?:a|an|the)|speak (?:as|like)|as if you (?:were|are))\b",
        r"写(?:一|首|封|篇|个).{0,15}(?:诗|故事|信|邮件|文章|作文|小说|对联|歌词|演讲)|讲(?:一)?个.{0,8}(?:故事|笑话)|扮演",
        r"\b(?:escribe|redacta|cuenta)\b.{0,30}\b(?:cuento|historia|poema|carta|correo|chiste|ensayo)\b",
        r"\b(?:schreib\w*|erzähl\w*|verfass\w*)\b.{0,30}(?:geschichte|gedicht|brief|e-?mail|witz|aufsatz)\b",
        r"\b(?:écris|rédige|raconte)\b.{0,30}\b(?:histoire|poème|lettre|courriel|blague|dissertation)\b",
    ),
    _rule(
        "each step of the answer builds on the one before",
        r"\bstep[- ]by[- ]step\b|\bone step at a time\b|\bwalk me through\b|\bshow (?:your|the) (?:work|working|steps)\b",
        r"\b(?:recipe|instructions|directions|procedure) (?:for|to|on)\b|\bhow (?:do|can|to) (?:i |you |we )?(?:install|assemble|bake|cook)\b",
        r"\b(?:chronolog|timeline|in order of|puzzle|deduce|syllogism)\w*|逐步|一步一步|paso a paso|schritt für schritt|étape par étape",
    ),
    _rule(
        "the answer is one fact",
        r"^\s*(?:who|whose|whom|when|where)\b(?!.*\b(?:and why|and how|best|should)\b)[^.?!]*[.?!]?\s*$",
        r"^\s*(?:what|which)(?:'s| is| was| are| were)? (?:the |a |an )?(?:\w+ ){0,2}?(?:name|capital|date|year|time|price|population"
        r"|height|distance|definition|meaning|abbreviation|currency|symbol|formula|number|age|size|speed|temperature"
        r"|largest|smallest|tallest|longest|fastest|highest|oldest|first|last|latest|weather)\b",
        r"^\s*(?:what|which) (?:year|day|month|country|city|state|color|colour|number|planet|element|team|company|language)\b",
        r"^\s*how (?:many|much|old|tall|far|long|big|deep|high|heavy|fast|often)\b",
        r"^\s*(?:is|are|was|were|does|did|do|has|have|had|can|could|will|am) (?!you (?:explain|describe|list|give|suggest|tell|help|name))"
        r"(?!.*\b(?:explain|why|how|discuss|compare)\b)[^.?!]*\?\s*$",
        r"谁是|是谁|哪一年|什么时候|在哪里|多少|几个|首都|^\s*(?:quién|cuándo|dónde|cuánt|wer|wann|wo|wie viele?|qui|quand|où|combien)\b",
    ),
    _rule(
        "there is nothing to list",
        r"^\s*(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night)|bye|ok(?:ay)?|yes|no|你好|谢谢|hola|gracias|hallo"
        r"|danke|bonjour|merci)\b[^?]{0,40}$",
        r"^\s*\S{1,3}\s*$",
    ),
)


def route(question: Question, /) -> Route:
    """Answer directly where a rule knows a reason; give a skeleton otherwise."""
    for rule in _RULES:
        if rule.pattern.search(question.text):
            return Route("direct", "rules", rule.why)
    return Route("skeleton", "rules", "nothing speaks against independent points")
