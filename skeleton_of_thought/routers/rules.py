r"""Written rules: the questions that a skeleton suits, told by their words alone.

The paper's labels say which those are (section 4 and appendix C): answers that are a list of points, of which
each can be written without the others and is long enough to gain. So two lists of rules are read. The first
knows answers of another form: code, mathematics, a strict format, one fact, a translation or another change to
a given text, a story or a letter, and steps that build on each other. The second knows the words that ask for
several points: ways, reasons, effects, a comparison. What neither knows is answered directly, because a skeleton
where none belongs costs quality, and a missed one only time.

The words are English, Chinese, Spanish, French and German; a question in another language is answered directly.
Rules cost no time and no call, and explain themselves. They see the question only, never the passages or the
history, and of a long one its beginning and its end, where the task stands.

>>> route(Question("Translate 'good morning' into French")).why
'a given text is translated or edited'
>>> route(Question("What are good ways to learn French?")).why
'it asks for several things'
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


_END = 500
"""So many signs at each end of a long question are read."""


# -- answers of another form ---------------------------------------------------------------------------

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

_ORDER = r"(?:^|[.!?:;,\n]\s*|\b(?:please|can you|could you|would you|will you|help me|(?:want|need) you to|and|then)\s+)(?:please )?"
"""What stands before a verb that tells the model what to do. "How do I write" asks for advice."""

_AGAINST = (
    _rule(
        "the answer is code",
        r"```",
        rf"{_ORDER}{_MAKE}\b[^.?!]*\b{_CODE_THING}\b",
        rf"{_ORDER}{_MAKE}\b[^.?!]*(?<!\w){_LANGUAGES}(?!\w)",
        rf"\b(?:in|into|using|with) {_LANGUAGES}(?!\w)",
        r"\b(?:def|class|import|return|SELECT|public static|console\.log|#include|for|while|if)\b[^.?!]*[({;]\S*",
        r"\b(?:my|this|the following) (?:\w+ )?(?:code|script|program|function|query|class|loop|regex)\b|\w+(?:Error|Exception)\b",
        r"\b(?:stack ?trace|traceback|segmentation fault|compil(?:e|ation) error|exception is thrown)\b",
        r"写(?:一个|一段)?.{0,12}(?:函数|代码|程序|脚本|算法)|(?:escribe|crea|programa) .{0,30}(?:función|código|programa)",
        r"(?:schreib\w*|écris|écrire) .{0,30}(?:funktion|programm|fonction|code)",
    ),
    _rule(
        "the answer is a calculation or a proof",
        r"\d\s*[-+*/×÷^=<>]\s*[-(]?[\dx]|\b\d+ (?:times|plus|minus|divided by) \d",
        r"\b(?:calculate|compute|simplify|differentiate|factori[sz]e|prove that)\b|\b(?:solve|evaluate|integrate|derive)\b[^?!]*[\d=^]",
        r"\b(?:integral|derivative|equation|square root|probability that|how many (?:ways|times|different))\b",
        r"\b(?:what is|what's|find)\b[^.?!]*\b(?:sum|product|average|median|percent(?:age)?|value|probability) of\b",
        r"\bhow (?:many|much|long|far|fast|old)\b[^.?!]*\bif\b|\bif\b[^?]*\b(?:how (?:many|much|long|far|fast|old)|when)\b",
        r"\d[^?]*\bhow (?:many|much|long|far|fast|old)\b|\bconvert\b[^.?!]*\d",
        r"\bestimate (?:the|how)\b|计算|求解|证明|方程|calcula\b|resuelve|demuestra|berechne|löse|beweise|calcule[rz]?\b|résous",
    ),
    _rule(
        "the answer has a strict format",
        r"\b(?:json|yaml|xml|csv|toml|markdown table|html table)\b",
        r"\b(?:as|in|into|make|create|with|draw) (?:a |an )?(?:[\w-]+ )?(?:table|spreadsheet|diagram|chart)\b",
        r"\b(?:answer|reply|respond) (?:only )?(?:with|in) (?:only |just |one |a single |yes|no\b|true|exactly)",
        r"\byes or no\b|\btrue or false\b|\bmultiple[- ]choice\b|\bclassify\b|\bextract\b|\blabel (?:the|each|this)\b|\bA[).:][^?]*\bB[).:]",
        r"\bin (?:one|1|a single|two|2|a few|\d+) (?:words?|sentences?|lines?)\b|\bone[- ]word\b|\bbriefly\b|表格|用一句话|只回答|简短",
    ),
    _rule(
        "a given text is translated or edited",
        r"\b(?:translate|paraphrase|rephrase|rewrite|reword|proofread|summari[sz]e|shorten|transcribe|transliterate)\b",
        r"\b(?:correct|edit|improve|polish|fix|check|make)\b[^.?!]*\b(?:(?:the|my|this) (?:grammar|spelling|text|sentence|paragraph|punctuation|draft))\b",
        r"\bhow do you say\b|\bwhat does\b[^?]*\bmean in (?:english|spanish|french|german|chinese|japanese)\b|\btl;?dr\b",
        r"\b(?:text|passage|article|paragraph|sentence|poem|story|letter|review|email|context|summary|dialogue) (?:below|above)\b|\b(?:following|your last) (?:text|passage|article|paragraph|sentence|poem|story|letter|review|email|answer)\b",
        r"翻译|改写|润色|总结(?:一下|以下|这)|概括|tradu(?:ce|cir|is|ire)|\bresum[ea] (?:el|la|los|las|est[ea])\b|übersetz|fasse .*zusammen|résume[rz]?\b",
    ),
    _rule(
        "the answer is one running text",
        rf"{_ORDER}(?:write|compose|draft|create|tell|craft|give|make|continue|finish|generate)\b[^.?!]{{0,80}}\b{_TEXT}s?\b",
        rf"\b(?:need|want|would like|looking for) (?:a|an|some|\d+) [^.?!]{{0,40}}\b{_TEXT}s?\b",
        r"\b(?:pretend|imagine|act as|role-?play|you are (?:a|an|the|my)|you're (?:a|an)|speak (?:as|like)|as if you (?:were|are)|from the perspective of)\b",
        r"写(?:一|首|封|篇|个).{0,15}(?:诗|故事|信|邮件|文章|作文|小说|对联|歌词|演讲)|讲(?:一)?个.{0,8}(?:故事|笑话)|扮演",
        r"\b(?:escribe|redacta|cuenta|cuéntame)\b.{0,30}\b(?:cuento|historia|poema|carta|correo|chiste|ensayo)\b",
        r"\b(?:schreib\w*|erzähl\w*|verfass\w*)\b.{0,30}(?:geschichte|gedicht|brief|e-?mail|witz|aufsatz)\b",
        r"\b(?:écris|rédige|raconte)\b.{0,30}\b(?:histoire|poème|lettre|courriel|blague|dissertation)\b",
    ),
    _rule(
        "each step of the answer builds on the one before",
        r"\bstep[- ]by[- ]step\b|\bone step at a time\b|\bwalk me through\b|\bshow (?:your|the) (?:work|working|steps)\b",
        r"\b(?:recipe|instructions|directions|procedure) (?:for|to|on)\b|\bhow (?:do|can|to|could|should) (?:i |you |we )?(?:install|assemble|bake|cook|reset|configure|set up)\b",
        r"\b(?:chronolog\w*|timeline|in order of|puzzle|riddle|deduce|syllogism)\b|逐步|一步一步|paso a paso|schritt für schritt|étape par étape",
    ),
    _rule(
        "the answer is one fact",
        r"^\s*(?:who|whose|whom|when|where)\b(?!.*\b(?:and why|and how|best|should)\b)[^.?!]*[.?!]?\s*$",
        r"^\s*(?:what|which)(?:'s| is| was) (?:the |a |an )?(?:\w+ ){0,2}?(?:name|capital|date|year|time|price|population"
        r"|height|distance|definition|meaning|abbreviation|currency|symbol|formula|number|age|size|speed|temperature"
        r"|largest|smallest|tallest|longest|fastest|highest|oldest|first|last|latest|weather)\b",
        r"^\s*(?:what|which) (?:year|day|month|country|city|state|color|colour|number|planet|element|team|company|language)\b",
        r"^\s*how (?:many|much|old|tall|far|long|big|deep|high|heavy|fast|often)\b",
        r"^\s*(?:is|are|was|were|does|did|do|has|have|had|can|could|will|am)\b(?<!was(?= (?:sind|ist|sollte|kann|muss|macht|bringt|hilft|wäre|würde)))"
        r" (?!you (?:explain|describe|list|give|suggest|tell|help|name|recommend|share|outline|compare|discuss))"
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

_SEVERAL = (
    r"(?:ways|tips|advice|suggestions|ideas|recommendations|strateg(?:y|ies)|techniques|methods|approaches|practices|habits|activities"
    r"|options|alternatives|possibilities|things to|places to"
    r"|advantages?|disadvantages?|pros|cons|benefits?|drawbacks|downsides|upsides|strengths|weaknesses|merits|arguments|risks|dangers|threats|concerns"
    r"|challenges|obstacles|barriers|difficulties|opportunities|mistakes|pitfalls|misconceptions|myths"
    r"|causes|reasons|factors|drivers|effects|side effects|impacts?|influence|consequences|implications|outcomes|lessons|contributions"
    r"|features|characteristics|qualities|traits|properties|aspects|elements|components|principles|criteria|considerations|requirements|themes"
    r"|types|kinds|forms|categories|stages|phases|theories|schools of|perspectives|views on|uses of|applications of|trends|developments|innovations"
    r"|skills|symptoms|signs of|warning signs|treatments|solutions|measures|differences|similarities|importance|significance|roles?|overview)"
)
_ASK = r"\b(?:what|which|how|list|name|give|suggest|recommend|share|offer|provide|outline|explain|describe|discuss|analy[sz]e|examine|explore|identify|tell me|write about|talk about|some|any|need|want)\b"
_OPEN = (
    r"(?:improve|become|reduce|increase|prepare|deal|cope|manage|handle|stay|keep|encourage|motivate|save|avoid|prevent|protect|overcome"
    r"|develop|boost|promote|support|help|strengthen|balance|maintain|attract|retain|learn|teach|raise|enhance|foster|lower|tackle|address"
    r"|combat|fight|choose|plan|organi[sz]e|lead|adapt|contribute|succeed|get better|be(?:come)? (?:a )?(?:more|better)|(?:write|build|run|give) (?:a )?(?:better|good|great|strong)"
    r"|build (?:\w+ )?(?:trust|confidence|relationships?|resilience|habits|community)|make [^.?!]{1,60}\b(?:more|better|less|\w{3,}er)\b|solve)"
)
_PEOPLE = r"(?:i|we|you|one|someone|people|they|he|she)"

_FOR = (
    _rule(
        "it asks for several things",
        rf"{_ASK}[^.?!\n]{{0,120}}\b{_SEVERAL}\b",
        rf"^\s*(?:\w+ ){{0,3}}(?:tips|ideas|advice|ways|reasons|benefits|pros and cons|advantages)\b",
        r"\bwhat makes\b|\bwhat (?:can|could|should|must|might|do|does)\b[^.?!\n]{1,60}\b(?:do|consider|know|think about|look for|look out for|expect|pay attention|keep in mind|need to|offer|avoid|learn|include)\b",
        r"(?:vor- und nachteile|vorteile|nachteile|tipps|ratschläge|gründe|ursachen|folgen|auswirkungen|unterschiede|möglichkeiten|methoden|strategien|ideen|risiken|faktoren|merkmale|herausforderungen|argumente|bedeutung (?:von|der|des))\b|\bwas (?:sollte|muss|kann|soll)\b[^.?!]*\b(?:beachten|wissen|tun|bedenken)\b|\bworauf\b",
        r"\b(?:avantages|inconvénients|conseils|causes|raisons|effets|conséquences|différences|moyens|méthodes|stratégies|idées|risques|facteurs|caractéristiques|défis|bienfaits|façons)\b|\b(?:que faut-il|que dois-je|que peut-on|que faire)\b",
        r"\b(?:ventajas|desventajas|consejos|causas|razones|efectos|consecuencias|diferencias|formas de|maneras de|métodos|estrategias|ideas|riesgos|factores|características|desafíos|beneficios)\b|\bqué (?:debo|debería|hay que|puedo hacer|podemos hacer)\b",
        r"优点|缺点|优缺点|优势|劣势|好处|坏处|利弊|方法|办法|建议|技巧|原因|影响|区别|因素|特点|策略|挑战|风险|意义|注意(?:什么|哪些)|哪些(?:问题|方面|方式|措施|好处|影响|事项)",
    ),
    _rule(
        "it asks how something open can be done",
        rf"\bhow (?:can|could|should|do|does|did|would|might|to)\b[^.?!\n]{{0,60}}?\b{_OPEN}\b",
        r"\bwie (?:kann|können|könnte|sollte|lässt|lassen|werde|bleibe)\b[^.?!]*(?:verbesser|steiger|reduzier|spar|senk|lern|vorbereit|vermeid|schütz|umgeh|bewältig|motivier|förder|stärk|\bbesser\b|\bmehr\b|\bweniger\b|gesund|gesünder)",
        r"\bcomment (?:puis-je|peut-on|peuvent|pouvons-nous|faire pour)?\b[^.?!]*\b(?:améliorer|réduire|augmenter|apprendre|gérer|préparer|éviter|protéger|économiser|mieux|devenir|rester|motiver|lutter)\b",
        r"\bcómo\b[^.?!]*\b(?:mejorar|reducir|aumentar|aprender|manejar|gestionar|preparar\w*|evitar|proteger|ahorrar|mejor|mantener\w*|motivar\w*|superar|combatir)\b",
        r"(?:如何|怎样|怎么).{0,12}(?:提高|改善|提升|学习|学好|保持|减少|避免|应对|管理|克服|培养|增强|保护|准备|更好|成为|节省|缓解|预防|防止)",
    ),
    _rule(
        "it asks for reasons or effects",
        r"\bwhy\b[^.?!\n]*\b(?:important|matters?|essential|crucial|vital|necessary|valuable|useful|beneficial|good for|bad for|popular|harmful|fail\w*|succeed\w*|should|some|many|collapse|fall|decline)\b",
        rf"\bhow (?:has|have|did|does|do|will|might|could|would|can|is|are)\b(?! {_PEOPLE}\b)[^.?!\n]*\b(?:affect\w*|impact\w*|influenc\w+|chang(?:e|ed|ing)|shap(?:e|ed|ing)|contribut\w+|benefit\w*|transform\w*|revolutioni[sz]\w+|help\w*)\b",
        r"\bwarum\b[^.?!]*\b(?:wichtig|notwendig|sinnvoll|beliebt|sollte\w*)\b|\bpourquoi\b[^.?!]*\b(?:importante?s?|nécessaire|essentielle?|utile|faut-il)\b|\bpor qué\b[^.?!]*\b(?:importantes?|necesari[oa]s?|esencial|útil|debería\w*)\b|为什么.*(?:重要|必要|应该|受欢迎)",
        r"\bwhat (?:if|would (?:have )?happen|might have happened|would (?:the world|life|history|society) )|\bhow (?:would|might) [^.?!\n]*\bif\b",
        r"\bwas (?:wäre|würde passieren|wäre passiert),? wenn\b|\bque se passerait-il si\b|\bqué pasaría si\b|如果.*会(?:怎样|怎么样|发生什么)",
    ),
    _rule(
        "it asks for a comparison",
        r"\bcompare\b|\bcontrast\b|\bhow (?:do|does|did) [^.?!\n]*\b(?:differ|compare)\b|\b(?:around|across) the world\b",
        r"\bvergleich|\bcompar[aez]\b|比较",
    ),
)


def route(question: Question, /) -> Route:
    """Give a skeleton where the question asks for several points, and answer directly otherwise."""
    text = question.text
    if len(text) > 2 * _END:
        text = f"{text[:_END]}\n{text[-_END:]}"
    for kind, rules in (("direct", _AGAINST), ("skeleton", _FOR)):
        for rule in rules:
            if rule.pattern.search(text):
                return Route(kind, "rules", rule.why)
    return Route("direct", "rules", "nothing asks for several points")
