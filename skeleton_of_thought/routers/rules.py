r"""Written rules: the questions that a skeleton suits, told by their words alone.

The paper's labels say which those are (section 4 and appendix C): the answer is a list of points, of which each
can be written without the others and is long enough to gain. So two lists of rules are read. The first knows
answers of another form: code, mathematics, a strict format, one fact, a translation or another change to a given
text, a story or a letter, and steps that build on each other. The second knows the words that ask for several
points: ways, reasons, effects, a comparison. What neither knows is answered directly, because a skeleton where
none belongs costs quality, and a missed one costs only time.

The words are English, Chinese, Spanish, French and German; a question in another language is answered directly.
Rules cost no time and no call, and explain themselves. They see the question, never the passages or earlier turns,
and of a long one its beginning and its end, where the task stands; of a system message, whether it wants a format.

>>> route(Question("Translate 'good morning' into French")).why
'a given text is translated or edited'
>>> route(Question("What are good ways to learn French?")).why
'it asks for several things'
"""

import re
from dataclasses import dataclass

from ..answer import Question, Route
from ._ngrams import shortened


@dataclass(frozen=True, slots=True)
class _Rule:
    why: str
    pattern: re.Pattern[str]


def _rule(why: str, *alternatives: str) -> _Rule:
    return _Rule(why, re.compile(_any(*alternatives), re.IGNORECASE))


def _any(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


def _words(listed: str) -> str:
    return _any(*listed.split(", "))


# -- answers of another form ---------------------------------------------------------------------------

_LANGUAGES = _words(
    r"python, javascript, typescript, java, kotlin, swift, golang, rust, c\+\+, c#, ruby, php, perl, scala, haskell, bash, shell, sql, "
    r"html, css, matlab, regex, regular expression, assembly, powershell, cuda, verilog, latex, excel"
)
_CODE_THING = _words(
    r"function, class, method, script, program, query, snippet, algorithm, code, unit tests?, regex, macro, api endpoint"
)
_TEXT = _words(
    r"stor(?:y|ies), poems?, haiku, sonnet, limerick, novel, songs?, lyrics, rap, jokes?, riddles?, fairy ?tale, fable, screenplay, "
    r"dialogue, monologue, scene, diary, letter, e-?mails?, message, tweets?, captions?, slogans?, headlines?, blog post, essay, "
    r"article, review, speech, toast, press release, obituary, eulogy, resume, cv, bio, description, introduction, plot"
)
_GIVEN = _words(
    "text, passage, article, paragraph, sentence, poem, story, letter, review, e-?mail, draft, summary, dialogue"
)
_TOLD = r"(?:^|[.!?:;,\n]\s*|\b(?:please|(?:can|could|would|will) you|help me|(?:want|need) you to|and|then)\s+)(?:please )?"
"""What stands before a verb that tells the model what to do. "How do I write" asks for advice."""

_AGAINST = (
    _rule(
        "the answer is code",
        r"```",
        rf"{_TOLD}(?:write|create|implement|code|develop|generate|build|give me|make|design|debug|fix|refactor|optimi[sz]e|complete)\b"
        rf"[^.?!]*(?:\b{_CODE_THING}\b|(?<!\w){_LANGUAGES}(?!\w))",
        rf"\b(?:in|into|using|with) {_LANGUAGES}(?!\w)",
        r"\b(?:def|class|import|return|select|public static|console\.log|#include|for|while|if)\b[^.?!]*[({;]\S*",
        rf"\b(?:my|this|the following) (?:\w+ )?{_CODE_THING}\b|\w(?:Error|Exception)\b",
        r"\b(?:stack ?trace|traceback|segmentation fault|compil(?:e|ation) error|exception is thrown)\b",
        r"写(?:一个|一段)?.{0,12}(?:函数|代码|程序|脚本|算法)",
        r"(?:escribe|crea|programa|schreib\w*|écris|écrire) .{0,30}(?:función|código|programa|funktion|programm|fonction|code)",
    ),
    _rule(
        "the answer is a calculation or a proof",
        r"\d\s*[-+*/×÷^=<>]\s*[-(]?[\dx]|\b\d+ (?:times|plus|minus|divided by) \d|\bconvert\b[^.?!]*\d",
        r"\b(?:calculate|compute|simplify|differentiate|factori[sz]e|prove that)\b|\b(?:solve|evaluate|integrate|derive)\b[^?!]*[\d=^]",
        r"\b(?:prime )?factors of \d|\bnumbers? \d|\b(?:a|this|the) fraction\b|\b\d+\.\d+ and \d",
        r"\b(?:integral|derivative|equation|square root|probability that|how many (?:ways|times|different))\b",
        r"\b(?:what is|what's|find)\b[^.?!]*\b(?:sum|product|average|median|percent(?:age)?|value|number|probability) of\b",
        r"\b(?:if\b|\d)[^?]*\b(?:how (?:many|much|long|far|fast|old)|when)\b|\bhow (?:many|much|long|far|fast|old)\b[^.?!]*\bif\b",
        r"\bestimate (?:the|how)\b|计算|求解|证明|方程|calcula\b|resuelve|demuestra|berechne|löse|beweise|calcule[rz]?\b|résous",
    ),
    _FORMAT := _rule(
        "the answer has a strict format",
        r"\b(?:json|yaml|xml|csv|toml|markdown table|html table)\b",
        r"\b(?:as|in|into|make|create|with|draw) (?:a |an )?(?:[\w-]+ )?(?:table|spreadsheet|diagram|chart)\b",
        r"\b(?:answer|reply|respond) (?:only )?(?:with|in) (?:only |just |one |a single |yes|no\b|true|exactly)",
        r"\byes or no\b|\btrue or false\b|\bmultiple[- ]choice\b|\bA[).:](?:(?!\bA[).:])[^?])*\bB[).:]",
        r"\bclassify\b|\bextract\b|\blabel (?:the|each|this)\b",
        r"\bin (?:one|1|a single|two|2|a few|\d+) (?:words?|sentences?|lines?)\b|\bone[- ]word\b|\bbriefly\b|表格|用一句话|只回答|简短",
    ),
    _rule(
        "a given text is translated or edited",
        r"\b(?:translate|paraphrase|rephrase|rewrite|reword|proofread|summari[sz]e|shorten (?:this|the following|my|it)|transcribe|transliterate)\b",
        r"\b(?:correct|edit|improve|polish|fix|check|make)\b[^.?!]*\b(?:the|my|this) (?:grammar|spelling|punctuation)\b",
        rf"\b(?:this|following|your last) {_GIVEN}\b|\b{_GIVEN} (?:below|above)\b|\b(?:improve|edit|polish) my {_GIVEN}\b",
        r"\bhow do you say\b|\bwhat does\b[^?]*\bmean in (?:english|spanish|french|german|chinese|japanese)\b|\btl;?dr\b",
        r"翻译|改写|润色|总结(?:一下|以下|这)|概括|tradu(?:ce|cir|is|ire)|\bresum[ea] (?:el|la|los|las|est[ea])\b|übersetz|fasse .*zusammen|résume[rz]?\b",
    ),
    _rule(
        "the answer is one running text",
        rf"{_TOLD}(?:write|compose|draft|create|tell|craft|give|make|continue|finish|generate)\b[^.?!]{{0,80}}\b{_TEXT}\b",
        rf"\b(?:need|want|would like|looking for) (?:a|an|some|\d+) [^.?!]{{0,40}}\b{_TEXT}\b",
        r"\b(?:pretend|imagine|act as|role-?play|you(?: a|')re (?:an?|the|my)|speak (?:as|like)|as if you (?:were|are)|from the perspective of|play the (?:role|part) of)\b",
        r"写(?:一|首|封|篇|个).{0,15}(?:诗|故事|信|邮件|文章|作文|小说|对联|歌词|演讲)|讲(?:一)?个.{0,8}(?:故事|笑话)|扮演",
        r"\b(?:escribe|redacta|cuenta|cuéntame)\b.{0,30}\b(?:cuento|historia|poema|carta|correo|chiste|ensayo)\b",
        r"\b(?:schreib\w*|erzähl\w*|verfass\w*)\b.{0,30}(?:geschichte|gedicht|brief|e-?mail|witz|aufsatz)\b",
        r"\b(?:écris|rédige|raconte)\b.{0,30}\b(?:histoire|poème|lettre|courriel|blague|dissertation)\b",
    ),
    _rule(
        "each step of the answer builds on the one before",
        r"\bstep[- ]by[- ]step\b|\bone step at a time\b|\bwalk me through\b|\bshow (?:your|the) (?:work|working|steps)\b",
        r"\b(?:recipe|instructions|directions|procedure) (?:for|to|on)\b",
        r"\bhow (?:do|can|to|could|should) (?:i |you |we )?(?:install|assemble|bake|cook|reset|configure|set up)\b",
        r"\b(?:chronolog\w*|timeline|in order of|puzzle|riddle|deduce|syllogism)\b|逐步|一步一步|paso a paso|schritt für schritt|étape par étape",
    ),
    _rule(
        "the answer is one fact",
        r"^\s*(?:who|whose|whom|when|where)\b(?!.*\b(?:and why|and how|best|should)\b)[^.?!]*[.?!]?\s*$",
        r"^\s*(?:what|which)(?:'s| is| was) (?:the |a |an )?(?:\w+ ){0,2}?(?:name|capital|date|year|time|price|population|height|distance"
        r"|definition|meaning|abbreviation|currency|symbol|formula|number|age|size|speed|temperature|weather"
        r"|largest|smallest|tallest|longest|fastest|highest|oldest|first|last|latest)\b",
        r"^\s*(?:what|which) (?:year|day|month|country|city|state|color|colour|number|planet|element|team|company|language)\b",
        r"^\s*how (?:many|much|old|tall|far|long|big|deep|high|heavy|fast|often)\b",
        r"^\s*what roles? did [A-Z]\w+ [A-Z]\w+ play\b|\bimpact factor\b|\batomic numbers?\b",
        # "Was" asks for a fact in English, and for anything in German.
        r"^\s*(?:is|are|was(?! (?:sind|ist|sollte|kann|muss|macht|bringt|hilft|wäre|würde|passiert)\b)|were|does|did|do|has|have|had|can"
        r"|could|will|am) (?!you (?:explain|describe|list|give|suggest|tell|help|name|recommend|share|outline|compare|discuss))"
        r"(?!.*\b(?:explain|why|how|discuss|compare|what)\b)[^.?!]*\?\s*$",
        r"谁是|是谁|哪一年|什么时候|在哪里|多少|几个|首都|^\s*(?:quién|cuándo|dónde|cuánt|wer|wann|wo|wie viele?|qui|quand|où|combien)\b",
    ),
    _rule(
        "there is nothing to list",
        r"^\s*(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night)|bye|ok(?:ay)?|yes|no|你好|谢谢|hola|gracias|hallo"
        r"|danke|bonjour|merci)\b[^?]{0,40}$",
        r"^\s*\S{1,3}\s*$",
    ),
)

# -- answers that are several points -------------------------------------------------------------------

_ASKED = r"\b" + _words(
    "what, which, how, list, name, give, suggest, recommend, share, offer, provide, outline, explain, describe, discuss, "
    "analy[sz]e, examine, explore, identify, tell me, talk about, some, any, need, want"
)
_SEVERAL = _words(
    "ways, tips, advice, suggestions, ideas, recommendations, strateg(?:y|ies), techniques, methods, approaches, practices, "
    "habits, hobbies, activities, exercises, options, alternatives, possibilities, things to, places to, "
    "advantages?, disadvantages?, pros, cons, benefits?, drawbacks, downsides, upsides, strengths, weaknesses, merits, arguments, "
    "risks, dangers, threats, concerns, challenges, obstacles, barriers, difficulties, opportunities, mistakes, pitfalls, myths, "
    "misconceptions, causes, reasons, factors, drivers, effects, impacts?, influence, consequences, implications, outcomes, lessons, "
    "features, characteristics, qualities, traits, properties, aspects, elements, components, principles, criteria, considerations, "
    "themes, responsibilities, duties, types, kinds, forms, categories, stages, phases, theories, schools of, perspectives, views on, "
    "uses of, applications of, trends, developments, innovations, skills, symptoms, (?:warning )?signs of, treatments, solutions, "
    "measures, differences, similarities, importance, significance, roles?, overview"
)
_OPEN_LIST = _words(
    "some, main, major, key, most, best, biggest, greatest, common, typical, different, various, popular, important, good"
)
_OPEN_AIM = _words(
    r"improve, become, reduce, increase, prepare, deal, cope, manage, handle, stay, keep, encourage, motivate, save, avoid, prevent, "
    r"protect, overcome, develop, boost, promote, support, help, strengthen, balance, maintain, attract, retain, learn, teach, raise, "
    r"enhance, foster, lower, shorten, tackle, address, combat, fight, limit, choose, plan, organi[sz]e, lead, adapt, contribute, succeed, compete, "
    r"thrive, recover, solve, get better, be (?:a )?(?:more|better), (?:write|build|run|give) (?:a )?(?:better|good|great|strong), "
    r"build (?:\w+ )?(?:trust|confidence|relationships?|resilience|habits|community), make (?:new )?friends, make [^.?!]{1,60}\b(?:more|better|less|\w{3,}er)\b"
)
_GROUP = _words(
    "we, people, parents, families, teachers, schools, students, companies, businesses, employers, employees, managers, leaders, "
    "teams, organi[sz]ations, governments, countries, cities, towns, communities, society, individuals, hospitals, museums"
)
_TO_THINK_OF = _words(
    "do, consider, know, think about, look for, expect, pay attention, keep in mind, need to, offer, avoid, learn, include"
)
_CHANGED = _words(
    r"affect\w*, impact\w*, influenc\w+, chang(?:e|ed|ing), shap(?:e|ed|ing), contribut\w+, benefit\w*, transform\w*, help\w*"
)

_FOR = (
    _rule(
        "it asks for several things",
        rf"{_ASKED}\b[^.?!\n]{{0,120}}\b{_SEVERAL}\b",
        rf"^\s*(?:(?:some|a few|top|best|good|\d+) )*{_SEVERAL}\b",
        rf"\b(?:what|which) (?:are|were) (?:the )?{_OPEN_LIST}\b|\bwhat makes\b|\bwhat (?:\w+ ){{0,2}}(?:questions|problems|issues)\b",
        rf"\bwhat (?:else )?(?:can|could|should|must|might|do|does)\b[^.?!\n]{{1,60}}\b{_TO_THINK_OF}\b",
        r"vor- und nachteile|vorteile|nachteile|tipps|ratschläge|gründe|ursachen|folgen|auswirkungen|unterschiede|möglichkeiten|methoden",
        r"strategien|ideen|risiken|faktoren|merkmale|herausforderungen|\bfehler bei\b|bedeutung (?:von|der|des)\b|\bworauf\b",
        r"\bwas (?:sollte|muss|kann|soll)\b[^.?!]*\b(?:beachten|wissen|tun|bedenken)\b",
        r"\b(?:avantages|inconvénients|conseils|causes|raisons|effets|conséquences|différences|moyens|méthodes|stratégies|idées)\b",
        r"\b(?:risques|facteurs|caractéristiques|défis|bienfaits|façons|que faut-il|que dois-je|que peut-on|que faire)\b",
        r"\b(?:ventajas|desventajas|consejos|causas|razones|efectos|consecuencias|diferencias|(?:formas|maneras) de|métodos)\b",
        r"\b(?:estrategias|riesgos|factores|características|desafíos|beneficios|qué (?:debo|debería|hay que|(?:puedo|podemos) hacer))\b",
        r"优点|缺点|优缺点|优势|劣势|好处|坏处|利弊|方法|办法|建议|技巧|原因|影响|区别|因素|特点|策略|挑战|风险|危害|意义",
        r"注意(?:什么|哪些)|哪些(?:问题|方面|方式|措施|事项)",
    ),
    _rule(
        "it asks how something open can be done",
        rf"\bhow (?:can|could|should|do|does|did|would|might|to)\b[^.?!\n]{{0,60}}?\b{_OPEN_AIM}\b",
        r"\bhow (?:can|could|should|do) [^.?!\n]*\b(?:better|more|less|fewer)\b",
        rf"\bhow (?:can|could|should|might) (?:\w+ ){{0,2}}{_GROUP}\b",
        r"\bwie (?:kann|können|könnte|sollte|lässt|lassen|werde|bleibe|bereite)\b[^.?!]*(?:verbesser|steiger|reduzier|spar|senk|lern|vorbereit|auf .* vor\b"
        r"|vermeid|schütz|umgeh|bewältig|motivier|förder|stärk|\bbesser\b|\bmehr\b|\bweniger\b|gesund|gesünder)",
        r"\bcomment\b[^.?!]*\b(?:améliorer|réduire|augmenter|apprendre|gérer|préparer|éviter|protéger|économiser|mieux|devenir|rester"
        r"|motiver|lutter)\b",
        r"\bcómo\b[^.?!]*\b(?:mejorar|reducir|aumentar|aprender|manejar|gestionar|preparar\w*|evitar|proteger|ahorrar|mejor|mantener\w*"
        r"|motivar\w*|superar|combatir)\b",
        r"(?:如何|怎样|怎么).{0,12}(?:提高|改善|提升|学习|学好|保持|减少|避免|应对|管理|克服|培养|增强|保护|准备|更好|成为|节省|缓解|预防|防止)",
    ),
    _rule(
        "it asks for reasons or effects",
        r"\bwhy\b[^.?!\n]*\b(?:important|matters?|essential|crucial|vital|necessary|valuable|useful|beneficial|good for|bad for|popular"
        r"|harmful|fail\w*|succeed\w*|should|some|many|collapse|fall|decline)\b",
        rf"\bhow (?:has|have|did|does|do|will|might|could|would|can|is|are)\b(?! (?:i|we|you|one)\b)[^.?!\n]*\b{_CHANGED}\b",
        r"\bwhat (?:if|would (?:have )?happen(?:ed)?|might have happened|would (?:the world|life|history|society)) |\bhow (?:would|might) [^.?!\n]*\bif\b",
        r"\bwhat (?:would|might|could|will) [^.?!\n]*\blook like\b|\bhow (?:might|could|would) [^.?!\n]*\blook\b",
        r"\bwarum\b[^.?!]*\b(?:wichtig|notwendig|sinnvoll|beliebt|sollte\w*)\b|\bpourquoi\b[^.?!]*\b(?:importante?s?|nécessaire|utile|faut-il)\b",
        r"\bpor qué\b[^.?!]*\b(?:importantes?|necesari[oa]s?|esencial|útil|debería\w*)\b|为什么.*(?:重要|必要|应该|受欢迎)",
        r"\bwie (?:beeinflusst|wirkt sich|verändert)\b|\bcomment\b[^.?!]*\b(?:influence|affecte|change)-t|\bcómo (?:afecta|influye|cambia)\w*\b",
        r"\bwas (?:wäre|würde passieren|wäre passiert),? wenn\b|\bque se passerait-il si\b|\bqué pasaría si\b|如果.*会(?:怎样|怎么样|发生什么)",
    ),
    _rule(
        "it asks for a comparison",
        r"\bcompare\b|\bcontrast\b|\bhow (?:do|does|did) (?:different\b|various\b|[^.?!\n]*\b(?:differ|compare)\b)",
        r"\bhow (?:is|are) [^.?!\n]*\bdifferent (?:from|to|than)\b|\b(?:around|across) the world\b",
        r"\bvergleich|\bcompar[aez]\b|比较",
    ),
)


def route(question: Question, /) -> Route:
    """Give a skeleton where the question asks for several points, and answer directly otherwise."""
    if why := refusal(question):
        return Route("direct", "rules", why)
    if rule := _first(_FOR, question.text):
        return Route("skeleton", "rules", rule.why)
    return Route("direct", "rules", "nothing asks for several points")


def refusal(question: Question) -> str | None:
    """Tell why the answer has another form than several points, or ``None`` where no rule says so."""
    if any(message.role == "system" and _FORMAT.pattern.search(message.text) for message in question.history):
        return _FORMAT.why
    rule = _first(_AGAINST, question.text)
    return rule.why if rule else None


def asks(text: str) -> bool:
    """Tell whether a text has words that ask for several points, whatever else it says."""
    return _first(_FOR, text) is not None


def _first(rules: tuple[_Rule, ...], text: str) -> _Rule | None:
    text = shortened(text)
    return next((rule for rule in rules if rule.pattern.search(text)), None)
