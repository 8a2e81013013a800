import asyncio
import json
import subprocess
import sys
import threading

import gguf
import pytest

from skeleton_of_thought.calls import Abilities, Call, Finish, Message, Usage, abilities_of
from skeleton_of_thought.errors import ContextLengthError, InputError, ModelError, ModelFileError, ModelMissingError
from skeleton_of_thought.models._openvino import Engine, engine_for
from skeleton_of_thought.models._pipeline import _Judge
from skeleton_of_thought.models._requantise import write_blank
from skeleton_of_thought.models._store import DEFAULT_MODEL, find
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.models.local import LocalModel
from skeleton_of_thought.testing import collect

ONE_WORD = 'root ::= " calm"'
BAD_GRAMMAR = 'root ::= "calm'
LONG = 6000  # tokens that nobody waits for: most of a minute


@pytest.fixture
def engine():
    """Return the engine of the default model, which all tests share, with its peak taken back."""
    engine = engine_for(find(DEFAULT_MODEL))
    engine.peak_batch = 0
    return engine


@pytest.fixture
def own_engine():
    """Return an engine that a test may break."""
    engine = Engine(find(DEFAULT_MODEL))
    yield engine
    engine.close()


@pytest.fixture
def blank_engine(tmp_path, monkeypatch):
    """Return an engine of a model that takes 64 tokens and knows nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_blank(tmp_path / "blank.gguf")
    engine = engine_for(tmp_path / "blank.gguf")
    yield engine
    engine.close()


def chat(*texts, **settings):
    """Make a generation from a conversation, whose messages take turns."""
    roles = ("user", "assistant") * len(texts)
    messages = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))
    return Generation(messages=messages, **{"max_tokens": 16, **settings})


def say(engine, generation):
    """Generate on a loop of its own, and return the text, the usage and the finish."""
    *texts, usage, finish = asyncio.run(collect(engine.generate(generation)))
    assert (True, Usage, Finish) == (all(isinstance(text, str) for text in texts), type(usage), type(finish))
    return "".join(texts), usage, finish


# -- what is written -----------------------------------------------------------------------------------


def test_a_text_comes_in_pieces(engine):
    """What is written can be read while it is written."""
    *texts, _, _ = asyncio.run(collect(engine.generate(chat("Tell me a story", ignore_eos=True))))
    assert len(texts) > 5


def test_a_whole_text_comes_in_one_piece(engine):
    """Asked for as a whole, a text is the one that comes in pieces, and wakes its reader once."""
    pieces = asyncio.run(collect(engine.generate(chat("Tell me a story", ignore_eos=True, whole=True))))
    assert [say(engine, chat("Tell me a story", ignore_eos=True))[0]] == pieces[:-2]


def test_it_ends_at_its_bound(engine):
    """A text that is cut off says so, and its tokens are counted."""
    _, usage, finish = say(engine, chat("Tell me a story", max_tokens=7, ignore_eos=True))
    assert (7, Finish("length")) == (usage.output_tokens, finish)


def test_it_ends_by_itself(engine):
    """A text that has come to its end says so."""
    assert (" calm", Finish("stop")) == say(engine, chat("Be calm", grammar=ONE_WORD))[::2]


def test_a_closing_assistant_message_is_gone_on_from(engine):
    """What is written comes after it, and does not repeat it."""
    text, _, _ = say(engine, chat("List three colours", "1. Red\n2. Blue\n3.", grammar='root ::= " " [A-Z] [a-z]{2,8}'))
    assert text[0] == " "
    assert text[1:].isalpha()


def test_the_opening_is_read(engine):
    """It counts as input: the model goes on from it."""
    without, opened = (say(engine, chat("Hello", *more))[1].input_tokens for more in ((), ("one two three four",)))
    assert without + 4 == opened


def test_neighbours_of_one_role_are_one_message(engine):
    """Chat templates want roles to take turns."""
    one, two = (
        say(engine, Generation(messages=tuple(Message("user", text) for text in texts), max_tokens=1))[1].input_tokens
        for texts in (("Some text\n\nA question",), ("Some text", "A question"))
    )
    assert one == two


def test_a_plain_prompt_needs_no_conversation(engine):
    """No chat template is laid around it."""
    text, usage, _ = say(engine, Generation(prompt="The capital of France is", max_tokens=1))
    assert (" Paris", 5) == (text, usage.input_tokens)


def test_a_stop_string_over_several_tokens_ends_it(engine):
    """The stop string is not shown, nor what came before it in the same piece lost."""
    text, _, finish = say(engine, chat("Go", grammar='root ::= "alpha beta gamma delta"', stop=("a gam", "never")))
    assert ("alpha bet", Finish("stop")) == (text, finish)


def test_other_scripts_come_whole(engine):
    """No character is torn between two pieces, although each is several tokens."""
    words = "日本語のテキスト 🎉🧑‍🚀 naïve Ελλάδα"
    pieces = asyncio.run(collect(engine.generate(chat("Go", grammar=f'root ::= "{words}"', max_tokens=200))))
    texts = [piece for piece in pieces if isinstance(piece, str)]
    assert words == "".join(texts)
    assert not any("\ufffd" in text for text in texts)


def test_a_seed_gives_the_same_text_again(engine):
    """With a temperature, the seed chooses."""
    _, first, again, other, open_ = (  # the first fills the cache, which has its share in the rounding
        say(engine, chat("Tell me a story", temperature=1.5, seed=seed))[0] for seed in (1, 1, 1, 2, None)
    )
    assert first == again
    assert len({first, other, open_}) == 3


def test_without_a_temperature_the_likeliest_is_taken(engine):
    """Neither a seed nor chance plays a part."""
    settings = ({}, {}, {"temperature": 0, "seed": 4})
    _, first, again = (say(engine, chat("Tell me a story", **each))[0] for each in settings)
    assert first == again


def test_penalties_are_obeyed(engine):
    """A model that would say one thing over and over says more under a penalty."""
    again = {"prompt": "a b c a b c a b c a b c", "max_tokens": 12}
    free, bound = (say(engine, Generation(**again, repetition_penalty=each))[0] for each in (1.0, 2.0))
    assert len(set(free.split())) < len(set(bound.split()))


# -- grammars ------------------------------------------------------------------------------------------


def test_a_grammar_is_obeyed(engine):
    """What is written is a sentence of the grammar."""
    assert say(engine, chat("Is the sky blue?", grammar='root ::= "yes" | "no"'))[0] in {"yes", "no"}


def test_a_json_schema_is_obeyed(engine):
    """What is written is JSON of that schema."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    text, _, _ = say(engine, chat("A number", json_schema=json.dumps(schema), max_tokens=60))
    assert ["n"] == list(json.loads(text))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"grammar": BAD_GRAMMAR}, "grammar cannot be obeyed: .*line 1.*string literal"),
        ({"grammar": "root ::= item"}, 'Rule "item" is not defined'),
        ({"grammar": 'start ::= "a"'}, 'root rule with name "root" is not found'),
        ({"grammar": ""}, "is not found"),
        ({"json_schema": "{"}, "JSON schema cannot be obeyed"),
        ({"json_schema": '{"type": "word"}'}, 'Unsupported type "word"'),
        ({"grammar": ONE_WORD, "json_schema": "{}"}, "not both"),
    ],
)
def test_a_bad_rule_is_refused_and_harms_nobody(engine, rule, reason):
    """Its error names the fault; what is written beside it and after it goes on."""

    async def beside():
        return await asyncio.gather(
            collect(engine.generate(chat("Tell me a story", max_tokens=30, ignore_eos=True))),
            collect(engine.generate(chat("Go", **rule))),
            return_exceptions=True,
        )

    story, refused = asyncio.run(beside())
    assert Finish("length") == story[-1]
    with pytest.raises(InputError, match=reason):
        raise refused
    assert " calm" == say(engine, chat("Be calm", grammar=ONE_WORD))[0]


# -- what cannot be done -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "reason"),
    [
        (Generation(), "nothing to answer"),
        (Generation(prompt=""), "the prompt is empty"),
        (Generation(prompt="\ud83d"), "half a character"),
        (chat("Hello", grammar="\ud83d"), "half a character"),
        (chat("Hello", max_tokens=0), "max_new_tokens"),
        (chat("Hello", temperature=-1.0), "temperature"),
        (chat("Hello", temperature=1.0, top_p=2.0), "top_p"),
        (chat("Hello", presence_penalty=9.0), "presence_penalty"),
    ],
)
def test_what_cannot_be_asked_is_refused(engine, generation, reason):
    """The error names what is wrong, in place of a failure later."""
    with pytest.raises(InputError, match=reason):
        say(engine, generation)


@pytest.mark.parametrize("generation", [chat("word " * 8300), chat("Hello", max_tokens=8192)])
def test_more_than_the_model_takes_is_refused(engine, generation):
    """The error tells how much there was and how much there may be."""
    with pytest.raises(ContextLengthError) as caught:
        say(engine, generation)
    assert (8192, True) == (caught.value.limit, caught.value.tokens > 8192)


def test_an_open_bound_is_what_fits(blank_engine):
    """A prompt that names no bound is answered in the room that is left."""
    _, usage, finish = say(blank_engine, Generation(prompt="a" * 60, ignore_eos=True))
    assert (Usage(60, 4), Finish("length")) == (usage, finish)


# -- one engine for all --------------------------------------------------------------------------------


def test_a_beginning_is_computed_once(engine):
    """The second question with the same long beginning finds most of it in the cache."""
    document = "This sentence is read once and used twice. " * 12
    first, second = (say(engine, chat(document + question))[1] for question in ("Who?", "And why?"))
    assert first.cached_tokens < second.cached_tokens
    assert 0.7 * second.input_tokens < second.cached_tokens < second.input_tokens


def test_what_is_asked_together_is_one_batch(engine):
    """Eight texts are written in the same steps."""

    async def together():
        stories = (chat(f"Tell me story {n}", max_tokens=32, ignore_eos=True) for n in range(8))
        return await asyncio.gather(*(collect(engine.generate(story)) for story in stories))

    assert [Finish("length")] * 8 == [pieces[-1] for pieces in asyncio.run(together())]
    assert 8 == engine.peak_batch


def test_two_loops_share_the_engine(engine):
    """Two threads with a loop each are served in one batch, each with its own text."""
    together, said = threading.Barrier(2), {}

    def ask(word):
        together.wait()
        said[word] = say(engine, chat("Go", grammar=f'root ::= "{word}" (" {word}"){{30}}', max_tokens=400))[0]

    threads = [threading.Thread(target=ask, args=(word,)) for word in ("north", "south")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {word: " ".join([word] * 31) for word in ("north", "south")} == said
    assert 2 == engine.peak_batch


def test_a_closed_stream_leaves_the_batch(engine):
    """Who stops reading frees the engine: what is asked next is written alone."""

    async def close_early():
        stream = engine.generate(chat("Tell me a story", max_tokens=LONG, ignore_eos=True))
        assert isinstance(await anext(stream), str)
        await stream.aclose()
        return await collect(engine.generate(chat("Be calm", grammar=ONE_WORD)))

    assert " calm" == "".join(piece for piece in asyncio.run(close_early()) if isinstance(piece, str))
    assert 1 == engine.peak_batch


def test_a_cancelled_task_leaves_the_batch(engine):
    """Cancelling is closing."""

    async def cancel():
        begun = asyncio.Event()

        async def read():
            async for _ in engine.generate(chat("Tell me a story", max_tokens=LONG, ignore_eos=True)):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), await collect(engine.generate(chat("Be calm", grammar=ONE_WORD)))

    cancelled, pieces = asyncio.run(cancel())
    assert (True, Finish("stop"), 1) == (cancelled, pieces[-1], engine.peak_batch)


def test_a_loop_that_ended_leaves_the_batch(engine):
    """A program that forgets its stream does not keep the engine at work."""

    async def begin():
        return await anext(stream)

    stream = engine.generate(chat("Tell me a story", max_tokens=LONG, ignore_eos=True))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    say(engine, chat("Hello", ignore_eos=True))  # time enough to see that nobody listens there
    engine.peak_batch = 0
    say(engine, chat("Hello", ignore_eos=True))
    assert 1 == engine.peak_batch


def test_a_failure_in_the_middle_ends_only_what_was_in_flight(blank_engine, monkeypatch):
    """All who wait are told why, and the next one gets a new pipeline."""
    monkeypatch.setattr(_Judge, "check", lambda *_: None)  # so that a bad grammar reaches the batch

    async def fail():
        beside = Generation(prompt="a", max_tokens=60, ignore_eos=True)
        both = (beside, Generation(prompt="a", grammar=BAD_GRAMMAR))
        return await asyncio.gather(*(collect(blank_engine.generate(each)) for each in both), return_exceptions=True)

    for failure in asyncio.run(fail()):
        assert (ModelError, True) == (type(failure), "failed in the middle: EBNF lexer error" in str(failure))
        assert isinstance(failure.__cause__, RuntimeError)
    assert Finish("length") == say(blank_engine, Generation(prompt="a", max_tokens=3, ignore_eos=True))[2]


def test_a_file_has_one_engine():
    """Whoever asks for the same file gets the same engine, by whatever path."""
    path = find(DEFAULT_MODEL)
    assert engine_for(path) is engine_for(path.parent / ".." / path.parent.name / path.name)


def test_closing_ends_what_is_in_flight(own_engine):
    """Nobody waits for ever: the text in flight and the next one end with an error."""

    async def close():
        stream = own_engine.generate(chat("Tell me a story", max_tokens=LONG, ignore_eos=True))
        await anext(stream)
        own_engine.close()
        with pytest.raises(ModelError, match="was closed"):
            await collect(stream)
        with pytest.raises(ModelError, match="is closed"):
            await collect(own_engine.generate(chat("Hello")))

    asyncio.run(close())


def test_a_closed_engine_is_replaced(blank_engine, tmp_path):
    """After a close, a file gets a new engine."""
    assert blank_engine is engine_for(tmp_path / "blank.gguf")
    blank_engine.close()
    second = engine_for(tmp_path / "blank.gguf")
    second.close()
    assert blank_engine is not second


def test_an_engine_needs_no_place_to_keep_things(blank_engine, tmp_path):
    """Where the cache cannot be written, it only starts later."""
    (tmp_path / "cache").write_text("a file, not a folder")
    assert 3 == say(blank_engine, Generation(prompt="a", max_tokens=3, ignore_eos=True))[1].output_tokens


def test_a_file_that_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    """A model of a kind that OpenVINO does not know is an error for whoever asks, and says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_context_length(64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    engine = Engine(path)
    with pytest.raises(ModelFileError, match=r"other.gguf cannot be loaded"):
        say(engine, chat("Hello"))
    engine.close()


# -- the process ---------------------------------------------------------------------------------------


def python(script, **environment):
    """Run a script in a fresh interpreter and return how it ended."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, **environment)


def test_a_program_may_end_in_the_middle(tmp_path):
    """The interpreter ends at once and without a word, although a text is being written."""
    script = f"""
import asyncio
from skeleton_of_thought.models._openvino import engine_for
from skeleton_of_thought.models._store import find
from skeleton_of_thought.models.generation import Generation

stream = engine_for(find({DEFAULT_MODEL!r})).generate(Generation(prompt="Once", max_tokens={LONG}, ignore_eos=True))
print(type(asyncio.new_event_loop().run_until_complete(anext(stream))).__name__)
"""
    ended = python(script)
    assert (0, "str\n", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_nothing_is_reported_to_anyone(tmp_path):
    """The engine's package would leave a mark in the home folder and send one; it does neither."""
    script = """
import sys
import skeleton_of_thought.models._openvino
print([name for name in sys.modules if name.startswith("openvino_telemetry")])
"""
    ended = python(script, env={"HOME": str(tmp_path)})
    assert (0, "[]\n", []) == (ended.returncode, ended.stdout, list(tmp_path.iterdir()))


def test_a_missing_extra_names_the_cure():
    """Without OpenVINO, importing the door says what to install."""
    ended = python("import sys; sys.modules['openvino_genai'] = None; import skeleton_of_thought.models.local")
    assert 'ImportError: the embedded model needs OpenVINO: pip install "skeleton-of-thought[local]"' in ended.stderr


# -- the door ------------------------------------------------------------------------------------------


def test_a_door_says_what_it_can():
    """It goes on from a closing message, obeys grammars, and is told to be small by its size."""
    assert Abilities(prefill=True, grammar=True, small=True) == abilities_of(LocalModel())


def test_a_door_answers_a_call():
    """All that a call says reaches the engine."""
    messages = (Message("user", "List"), Message("assistant", "1."))
    call = Call("point", messages, max_tokens=12, stop=("\n",), grammar='root ::= " Red\\n2. Blue"')
    *texts, usage, finish = asyncio.run(collect(LocalModel()(call)))
    assert (" Red", True, Finish("stop")) == ("".join(texts), usage.input_tokens > 5, finish)


@pytest.mark.parametrize(("stream", "pieces"), [(True, 8), (False, 1)])
def test_a_door_streams_where_it_is_asked_to(stream, pieces):
    """Who wants the text as it is written gets it so."""
    call = Call("direct", (Message("user", "Count"),), max_tokens=8, grammar='root ::= " a"{8}', stream=stream)
    assert pieces == len(asyncio.run(collect(LocalModel()(call)))) - 2


def test_a_doors_settings_reach_the_engine():
    """A temperature and a seed change what is written."""
    call = Call("direct", (Message("user", "Tell me a story"),), max_tokens=16)
    doors = (LocalModel(), LocalModel(temperature=1.5, seed=1), LocalModel(repetition_penalty=3.0))
    assert 3 == len({"".join(asyncio.run(collect(door(call)))[:-2]) for door in doors})


def test_a_door_to_nothing_cannot_be_made(tmp_path):
    """That a model is missing is told before any work is done."""
    with pytest.raises(ModelMissingError, match="sot model pull"):
        LocalModel(tmp_path / "none.gguf")
