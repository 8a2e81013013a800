import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Question, Route
from skeleton_of_thought.routers import always, named, never, rules

# All questions are our own: none is from a set that routers or answers are measured with.

SKELETON = """\
What are some effective ways to fall asleep faster?
How can I become a more confident public speaker?
What are the advantages and disadvantages of working from home?
Give me tips for learning a new language as an adult.
What should I consider before adopting a dog?
What else should I consider before adopting a dog?
Why is biodiversity important?
What are the main causes of the decline of coral reefs?
How can small towns attract young families?
List the benefits of regular walking.
What are common mistakes people make when they buy a used car?
How does social media affect the mental health of teenagers?
Compare electric cars and hydrogen cars.
What are the pros and cons of nuclear energy?
Explain the main differences between stoicism and epicureanism.
What factors influence the price of coffee?
How can a restaurant reduce its food waste?
What would have happened if the printing press had never been invented?
What if the Moon disappeared tomorrow?
What are the key features of Gothic architecture?
Suggest some activities for a rainy weekend with children.
How can I reduce my electricity bill at home?
What are the most important qualities of a good manager?
What makes a city livable?
Describe the cultural significance of tea in East Asia.
How do I prepare for a job interview?
What are the side effects of drinking too much coffee?
What are the main schools of thought in economics?
Why do some startups fail?
What strategies help students to remember what they read?
How can governments encourage recycling?
What are the biggest challenges of space travel?
Recommend ways to stay motivated while writing a thesis.
How has the smartphone changed everyday life?
What role does music play in religious ceremonies?
What can companies do to keep their best employees?
What are the symptoms of burnout, and how can it be prevented?
How might artificial intelligence change education?
What are the arguments for and against a four-day work week?
How can I make my balcony greener?
What are good habits for saving money?
What are the best practices for reviewing a colleague's work?
Which skills will be in demand in the next ten years?
What lessons can leaders learn from the fall of Rome?
What are the ethical concerns about facial recognition?
How can parents help a shy child?
What are the consequences of deforestation?
What should every beginner know about investing?
How do cultures around the world celebrate the new year?
Explain why some people believe in conspiracy theories.
Discuss the impact of tourism on small islands.
Give an overview of renewable energy sources.
What are the different types of renewable energy and how do they compare?
Could you list a few ways to deal with noisy neighbours?
Can you suggest ideas for a team-building event?
I feel stressed at work. What can I do about it?
My houseplants keep dying. What might be the reasons?
I'm moving to another country next year. What do I need to think about?
We are planning a school garden. Which aspects should we pay attention to?
What are some things to do in Lisbon?
What are the characteristics of a healthy relationship?
How can I improve my handwriting?
Tell me about the benefits of meditation.
What are the stages of grief?
Name several inventions that changed agriculture and describe their effects.
Why are bees important for agriculture?
How can remote teams build trust?
What are the risks of keeping all savings in one currency?
What are ways to improve code quality in a large team?
What are the benefits of writing unit tests?
What are the advantages of Python over other programming languages?
What are good ways to learn mathematics?
What makes a good short story?
What are tips for writing a cover letter?
How can I write better emails at work?
What should a good recipe blog offer its readers?
Was sind die Vor- und Nachteile von Homeoffice?
Wie kann ich meine Konzentration verbessern?
Welche Möglichkeiten gibt es, im Haushalt Energie zu sparen?
Warum ist Schlaf so wichtig für die Gesundheit?
Was sollte man bei der Gründung eines Unternehmens beachten?
Nenne einige Tipps für den ersten Marathon.
Quels sont les avantages et les inconvénients du télétravail ?
Comment puis-je améliorer ma mémoire ?
Pourquoi la lecture est-elle importante pour les enfants ?
Quelles sont les causes du changement climatique ?
Donne-moi des conseils pour mieux gérer mon temps.
¿Cuáles son las ventajas y desventajas de vivir en una gran ciudad?
¿Cómo puedo mejorar mi salud mental?
¿Qué factores influyen en el éxito de una empresa?
¿Por qué es importante beber agua?
Dame consejos para ahorrar dinero.
如何提高学习效率？
健身有哪些好处？
为什么保护环境很重要？
远程办公的优点和缺点是什么？
学习外语有什么好方法？
创业时需要注意哪些问题？
怎样才能更好地管理时间？
给我一些改善睡眠的建议。
What are the health effects of intermittent fasting?
How can a small bookshop compete with online retailers?
Which habits distinguish productive people from busy ones?
What should tourists know before visiting Japan?
How do I deal with a difficult coworker?
Explain the significance of the Magna Carta.
What were the social consequences of the Black Death?
What would the world look like without plastic?
Tell me some ways to make new friends in a new city.
What are the major themes in Romeo and Juliet?
How could cities become safer for cyclists?
How did the invention of the telescope influence science?
What are some underrated travel destinations in Europe and why?
What advice would you give to a first-time manager?
How to reduce plastic waste in everyday life?
Pros and cons of buying a house versus renting?
tips for staying healthy during winter
What qualities should I look for in a roommate?
What are some strategies for negotiating a higher salary?
Can you give me some ideas for a low-budget birthday party?
Describe the main features of the human digestive system.
How does exercise benefit the brain?
Why should companies invest in employee training?
What are the main differences between capitalism and socialism?
What might a future without money look like?
I want to start running. What should I keep in mind?
What do historians consider the reasons for the outbreak of World War I?
Discuss the advantages of public transport.
How can teachers make lessons more engaging?
What are some warning signs of a scam?
What challenges do first-generation college students face?
How is climate change affecting the wine industry?
Provide an overview of the major world religions.
What are the responsibilities of a project manager?
What are some common interview questions and good answers to them?
What are the benefits and risks of vaccines?
What hobbies can I start at home?
How do different generations view work?
How can we improve access to clean water in rural areas?
What is the importance of sleep for athletes?
What are the current trends in interior design?
Share some techniques for managing anger.
How can I support a friend who is grieving?
What would happen if all insects died out?
What are the most popular tourist attractions in Paris?
Was sind typische Fehler bei Bewerbungen?
Wie beeinflusst Musik unsere Stimmung?
Wie kann man besser mit Stress umgehen?
Was passiert, wenn das Internet für eine Woche ausfällt? Nenne die wichtigsten Folgen.
Comment mieux dormir ?
Quels sont les bienfaits du yoga ?
Explique les causes de la Révolution française.
¿Cuáles son los beneficios de hacer ejercicio?
¿Qué puedo hacer para dormir mejor?
¿Cómo afecta el cambio climático a los océanos?
人工智能对就业有什么影响？
怎样保持健康的生活方式？
旅行前应该注意什么？
What are effective methods for removing stains from clothes?
How can I sleep better on long flights?
What are the environmental impacts of fast fashion?
Explain the pros and cons of homeschooling.
What should I think about before getting a tattoo?
How did the Industrial Revolution change family life?
What are the strengths and weaknesses of democracy?
Give me some suggestions for healthy snacks.
Why is teamwork important in the workplace?
How can hospitals shorten waiting times?
What are the key differences between frogs and toads?
What would happen if there were no laws?
Which factors should I consider when buying a mattress?
What are the benefits of owning a cat?
How can I get my kids to eat more vegetables?
What are some good questions to ask at the end of an interview?
Discuss the role of women in World War II.
What can I do against mosquitoes?
How can museums attract more visitors?
What are some alternatives to plastic packaging?
What do employers look for in graduates?
Tell me the advantages of a standing desk.
How do I overcome my fear of flying?
What are the effects of sleep deprivation?
How is life in the countryside different from life in the city?
What ethical questions does cloning raise?
Why do so many marriages end in divorce?
Explain the different types of chess openings.
How might cities look in 2100?
What are the signs of a healthy economy?
Welche Vorteile hat ein Elektroauto?
Wie bereite ich mich auf eine Prüfung vor?
Quels sont les meilleurs moyens d'apprendre une langue ?
Comment économiser de l'argent au quotidien ?
¿Cómo puedo aprender a cocinar mejor?
¿Cuáles son las causas de la inflación?
吸烟有哪些危害？
怎么才能提高英语口语？
"""

DIRECT = """\
Write a Python function that reverses a linked list.
How do I sort a dictionary by value in Python?
Fix this bug: for i in range(10) print(i)
Create a SQL query that returns the ten oldest customers.
Why does my code raise an IndexError?
Implement binary search in Rust.
Write a regular expression that matches phone numbers.
Give me an HTML page with a red button.
Can you refactor this method to use less memory?
What does the following code print? print(1 + 1)
Write unit tests for my parser.
Explain what this function does: def f(x): return x * 2
Convert this shell script to PowerShell.
What is 17 times 23?
Solve 3x + 7 = 22.
Calculate the area of a circle with a radius of 4 cm.
If a train leaves at 3 pm and travels at 80 km/h, when does it arrive 200 km away?
Prove that the square root of 2 is irrational.
What is the derivative of sin(x) cos(x)?
A farmer has 12 cows and buys 5 more. How many does he have?
Three friends share a bill of 84 euros. How much does each pay?
How many piano tuners are there in Chicago?
Estimate how many litres of paint are needed for the Eiffel Tower.
What is the probability of rolling two sixes in a row?
Simplify (a + b)^2 - (a - b)^2.
Find the sum of the first 100 odd numbers.
Convert 45 degrees Fahrenheit to Celsius.
How old is Anna if she is twice as old as Ben, who is 7?
Return the three largest countries as JSON.
Make a table with the planets and their diameters.
Answer with yes or no: is a tomato a fruit?
Classify the sentiment of this review: "The food was cold."
Extract all dates from the text below.
In one word, what is the opposite of generous?
Summarise this in one sentence: The meeting was moved to Monday because of the strike.
Give me a CSV file with five fictional employees.
Which of these is a prime number? A) 21 B) 23 C) 27 D) 33
True or false: glass is a liquid.
Translate this sentence into German: I would like a cup of tea.
How do you say "thank you" in Japanese?
Rewrite this paragraph in a friendlier tone.
Correct the grammar: He go to school yesterday.
Summarize the following article: Scientists have found a new species of frog.
Paraphrase "time flies like an arrow".
Shorten this text to 50 words.
Make this sentence sound more formal: gimme the report.
Proofread my letter below.
What does "Schadenfreude" mean in English?
What is a synonym for happy?
Write a poem about autumn.
Tell me a joke about cats.
Write an email to my landlord about a broken heater.
Compose a haiku on silence.
Write a short story in which a robot learns to paint.
Continue this story: It was a dark night and the wind howled.
Write a cover letter for a position as a nurse.
Draft a speech for my sister's wedding.
Write a song about the sea.
Write a product description for a wooden toothbrush.
Write a blog post about minimalism.
Write an essay on the meaning of freedom.
Tell me a bedtime story about a brave mouse.
Come up with a slogan for a bakery.
Pretend you are a pirate and greet me.
You are a medieval knight. Describe your day.
Act as a travel agent and talk to me about Rome.
Imagine you are Einstein explaining time to a child.
Let's role-play: you are the shopkeeper and I am the customer.
Write a dialogue between a cat and a dog.
Write a tweet about our new shop.
How do I bake sourdough bread?
How do I change a flat tire?
Give me step-by-step instructions to install Ubuntu.
What is the recipe for pancakes?
Walk me through the proof of the binomial theorem.
How do I tie a bow tie?
Describe the life of Napoleon in chronological order.
How do I get from Berlin to Prague by train?
How does a bill become a law, step by step?
Solve this riddle: what has keys but no locks?
Alice is taller than Bob and Bob is taller than Carl. Who is the shortest?
Who wrote War and Peace?
When did the Berlin Wall fall?
Where is Mount Kilimanjaro?
What is the capital of Australia?
What is the boiling point of ethanol?
How tall is the Eiffel Tower?
How long does it take to boil an egg?
Which planet is the largest?
Is it safe to eat raw eggs?
Does coffee contain calcium?
Are whales fish?
What year was Mozart born?
What time is it in Tokyo?
What's the weather like today?
What is your name?
What's the population of Peru?
Who is the president of France?
How much does a stamp cost?
What colour is the sky on Mars?
Which country won the World Cup in 1998?
Did the Romans know sugar?
Define "entropy".
What does GDP stand for?
What is the chemical symbol of iron?
What is the plural of ox?
Do penguins have knees?
Was Cleopatra Greek?
Who is speaking?
Hello!
Hi there, how are you?
Thanks, that helped a lot.
Good morning
ok
Why?
Go on.
Continue
Tell me more.
What do you mean?
Can you repeat that?
asdf
42
What is love?
What's up?
Are you a robot?
Please shorten your last answer.
Can you make it funnier?
Schreibe ein Gedicht über den Herbst.
Übersetze diesen Satz ins Englische.
Wer hat die Glühbirne erfunden?
Wie hoch ist der Mont Blanc?
Berechne die Fläche eines Dreiecks.
Schreib eine Python-Funktion, die Primzahlen findet.
Fasse den folgenden Text zusammen.
Wann wurde Goethe geboren?
Ist Kaffee gesund?
Écris un poème sur la mer.
Traduis cette phrase en anglais.
Qui a peint la Joconde ?
Quelle est la capitale du Canada ?
Combien coûte un billet de métro ?
Rédige une lettre de motivation.
Est-ce que les chats aiment l'eau ?
Escribe un poema sobre el otoño.
Traduce esta frase al inglés.
¿Quién escribió Don Quijote?
¿Cuál es la capital de Perú?
¿Cuántos habitantes tiene México?
Cuéntame un chiste.
¿Es peligroso el café?
写一首关于秋天的诗。
把这句话翻译成英文。
中国的首都是哪里？
谁发明了电灯？
计算 25 乘以 4。
用Python写一个排序函数。
给我讲一个笑话。
帮我写一封请假邮件。
法国的首都是什么？
珠穆朗玛峰有多高？
你好
What is the best way to get from the airport to the city centre?
Give me a good name for my new puppy.
Suggest five names for a coffee shop.
List the planets of the solar system in order.
What are the primary colours?
What ingredients do I need for tiramisu?
How does a refrigerator work?
Why is the sky blue?
Explain Newton's second law.
What is the meaning of life?
What is photosynthesis?
Who was Marie Curie?
How do airplanes fly?
My laptop won't turn on. Help!
I have two apples and give one away. How many apples do I have left?
How do I reset my iPhone?
How do I cancel my subscription?
How do I get to the train station?
How do I convert a string to an integer in C++?
What does this error mean: segmentation fault
Please find the bug in the following code.
Can you debug this for me? SELECT * FROM users WHERE id = ;
Implement a stack with push and pop.
Write a bash one-liner that counts files.
What's the time complexity of quicksort?
docker container exits immediately, how can I fix it?
Generate a random password with 12 characters.
What is 15% of 80?
A rectangle has sides 3 and 4. What is its diagonal?
How many seconds are in a day?
Sum up the numbers from 1 to 10.
Factor x^2 - 5x + 6.
If 5 machines make 5 parts in 5 minutes, how long do 100 machines need for 100 parts?
Write a limerick about a lazy cat.
Write me a letter of recommendation for a student.
I need a short bio for my website.
Write an introduction for my essay about the benefits of recycling.
Write a 500-word article on the advantages of electric cars.
Create a marketing email that lists the benefits of our product.
Tell me a story about the importance of honesty.
You are a chef. Tell me how you would improve this dish.
Act as a therapist. I feel sad, how can I improve my mood?
Pretend to be Shakespeare and list the benefits of sleep.
Rewrite this: The advantages of this product are many.
Summarize the pros and cons mentioned in the text.
Translate into Spanish: What are the benefits of reading?
Is the following sentence correct? He don't like apples.
What is the past tense of go?
Spell the word "necessary".
What rhymes with orange?
Give me three synonyms for important.
Give me a one-sentence summary of Hamlet.
In two sentences, what are the effects of inflation?
Answer briefly: what are the causes of inflation?
Give me a JSON list of the benefits of sleep.
Which is better, tea or coffee?
Should I buy a Mac or a PC?
Can I drink coffee during pregnancy?
Is there a benefit to cold showers?
Are there any side effects of vitamin C?
Do the benefits of coffee outweigh the risks?
What happened in 1989?
What's the difference between its and it's?
What happened to the Titanic?
When was the first moon landing and who took part?
Name the seven dwarfs.
What languages are spoken in Switzerland?
Who are the main characters in Hamlet?
What's your favourite movie?
Do you have feelings?
I'm bored.
I love you
Nice, thank you very much!
And what about the second one?
What was my first question?
Play some jazz music.
Set a timer for ten minutes.
Remind me to call mum tomorrow.
What's on TV tonight?
Book a table for two at 7 pm.
How much is 100 dollars in euros?
Solve the equation and explain your reasoning.
Let x be a real number. Show that x^2 is non-negative.
Balance the chemical equation H2 + O2 -> H2O.
Tell me the plot of The Matrix.
What is the plot of Moby Dick?
Finish the sentence: Once upon a time
Make up a new word and define it.
Erkläre mir, wie ein Motor funktioniert.
Wie spät ist es?
Wie viel ist 12 mal 12?
Was bedeutet "serendipity"?
Schreibe eine E-Mail an meinen Chef.
Wie heißt die Hauptstadt von Island?
Comment tu t'appelles ?
Quel temps fait-il ?
Comment dit-on "cat" en français ?
Écris une histoire courte pour enfants.
¿Qué hora es?
¿Cómo te llamas?
¿Qué significa "saudade"?
Escribe un correo a mi jefe.
今天天气怎么样？
解释一下相对论。
12乘以12等于多少？
写一篇关于环保好处的文章。
把下面的文字翻译成法语：学习的方法有很多。
Какие есть способы улучшить память?
健康的な生活のコツは何ですか？
Come faccio a dormire meglio?
Conte-me uma piada.
The benefits of the new policy are clear. Everyone should support it.
Roses are red, violets are blue, why is this poem important to you?
Complete the following: The main advantages of solar energy are
What is the tallest mountain in Africa?
How do I open a .rar file?
Can you write a function to check for palindromes?
What's 2+2?
Rephrase the following: I am not happy with the service.
Compose a limerick about programmers.
What is recursion?
Tell me about yourself.
Who invented the telephone and when?
What is the distance between the Earth and the Moon?
Write a regex for email addresses.
Convert 10 miles to kilometers.
I want you to act as a Linux terminal.
Draft a resignation letter.
What are the opening hours of the Louvre?
What are the ingredients of pesto?
What are the lyrics of Happy Birthday?
How does a diesel engine work?
Explain how a bill becomes law step by step.
What is the plot of Inception?
Sort these words alphabetically: pear, apple, fig.
Which weighs more, a pound of feathers or a pound of gold?
My name is Tom. What's my name?
Why is my screen black?
Where can I buy cheap flights?
How much protein is in an egg?
Let's play chess.
Guess what I had for lunch.
Count from 1 to 20 in French.
Give me a random number.
Generate a Dockerfile for a Flask app.
How many calories should I eat?
Fill in the blank: The cat sat on the ___.
Explain quantum entanglement.
What do you think of pineapple on pizza?
Am I pretty?
Provide a quote by Gandhi.
Create a unique name for a fantasy kingdom.
Who would win, a lion or a tiger?
What comes next: 2, 4, 8, 16?
Design a logo for a coffee brand.
Wie funktioniert ein Kühlschrank?
Was ist die Hauptstadt von Australien?
Gib mir ein Synonym für schön.
Quel est le plus grand océan ?
Explique la théorie de la relativité.
¿Qué es un agujero negro?
¿Dónde está Machu Picchu?
什么是黑洞？
请写一段代码读取文件。
一公里等于多少米？
Given the array [3, 1, 2], what are the steps to sort it?
There are 20 students. Half have pets. What is the number of students with pets, and what are some ways to check it?
Write an advertisement listing the benefits of our vitamins.
Write a letter to the mayor with three reasons to build a park.
"""

MISSED = """\
How can I tell if a melon is ripe?
Why do people procrastinate, and how can they stop?
"""

REASONS = {
    "Write a Python function that reverses a linked list.": "the answer is code",
    "Solve 3x + 7 = 22.": "the answer is a calculation or a proof",
    "Return the three largest countries as JSON.": "the answer has a strict format",
    "Rewrite this paragraph in a friendlier tone.": "a given text is translated or edited",
    "Tell me a joke about cats.": "the answer is one running text",
    "Give me step-by-step instructions to install Ubuntu.": "each step of the answer builds on the one before",
    "What is the capital of Australia?": "the answer is one fact",
    "Hello!": "there is nothing to list",
    "What is love?": "nothing asks for several points",
    "What are the symptoms of burnout, and how can it be prevented?": "it asks for several things",
    "How can I become a more confident public speaker?": "it asks how something open can be done",
    "Why is biodiversity important?": "it asks for reasons or effects",
    "Compare electric cars and hydrogen cars.": "it asks for a comparison",
}

LONG_TEXT = "The harvest was good that year, and the village had bread. " * 100


def decided(question: str) -> str:
    return rules.route(Question(question)).kind


@pytest.mark.parametrize("question", SKELETON.splitlines())
def test_independent_points_get_a_skeleton(question: str) -> None:
    """The answer is a list of points, each of which can be written alone and is long enough to gain."""
    assert "skeleton" == decided(question)


@pytest.mark.parametrize("question", DIRECT.splitlines())
def test_everything_else_is_answered_directly(question: str) -> None:
    """A skeleton where none belongs costs quality: these must never get one."""
    assert "direct" == decided(question)


@pytest.mark.parametrize("question", MISSED.splitlines())
def test_what_the_rules_miss(question: str) -> None:
    """These would gain from a skeleton, and no word of theirs says so. That costs only time."""
    assert "direct" == decided(question)


@pytest.mark.parametrize(("question", "why"), REASONS.items(), ids=REASONS.values())
def test_rules_explain_themselves(question: str, why: str) -> None:
    """Each has a reason that a user understands."""
    route = rules.route(Question(question))
    assert ("rules", why) == (route.by, route.why)


@pytest.mark.parametrize(
    "question", ["WHAT ARE SOME WAYS TO RELAX?", "what are some ways to relax", " What are some\nways? "]
)
def test_dress_does_not_matter(question: str) -> None:
    """Neither capitals nor blanks nor the missing mark."""
    assert "skeleton" == decided(question.replace("\n", " "))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (f"Context:\n{LONG_TEXT}\n\nWhat are the benefits of a good harvest?", "skeleton"),
        (f"What are the benefits of a good harvest? Answer from this:\n{LONG_TEXT}", "skeleton"),
        (f"Summarize:\n{LONG_TEXT}", "direct"),
        (f"{LONG_TEXT}\nTranslate this into French.", "direct"),
        (f"{LONG_TEXT}\nWhat are the benefits of bread?\n{LONG_TEXT}", "direct"),
        (LONG_TEXT, "direct"),
    ],
    ids=["task last", "task first", "summary", "translation", "question inside", "no task"],
)
def test_of_a_long_question_both_ends_are_read(question: str, kind: str) -> None:
    """There stands the task; what is between is material."""
    assert kind == decided(question)


@given(st.text())
def test_any_question_gets_a_route(text: str) -> None:
    """Nothing raises, and every decision has a reason."""
    route = rules.route(Question(f"?{text}"))
    assert route.kind in {"skeleton", "direct"}
    assert ("rules", True) == (route.by, bool(route.why))


FRAGMENTS = st.sampled_from([
    "what ",
    "how can ",
    "find ",
    "if ",
    "1 ",
    "write ",
    "a",
    " ",
    "\t",
    "-",
    "make ",
    "why ",
    "was ",
    "some ",
    "写",
    "\n",
])


@given(FRAGMENTS, FRAGMENTS, st.integers(1, 50_000))
def test_a_long_question_takes_no_longer_than_its_length(first: str, second: str, times: int) -> None:
    """No pattern runs away; were there one that does, the time limit of the test would end it."""
    assert decided(f"?{(first + second) * times}") in {"skeleton", "direct"}


@pytest.mark.parametrize(
    ("name", "router", "route"),
    [
        ("always", always, Route("skeleton", "always", "every question gets one")),
        ("never", never, Route("direct", "never", "no question gets one")),
    ],
)
def test_routers_that_do_not_read(name: str, router: object, route: Route) -> None:
    """They have names in the settings."""
    assert router is named(name)
    assert [route, route] == [named(name)(Question(question)) for question in ("Why?", "What are some ways to relax?")]


def test_auto_is_the_rules() -> None:
    """Until a better router is worth its time."""
    assert rules.route is named("auto")
