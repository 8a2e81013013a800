"""Usage that must type-check: read by ``make check``, never run."""

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.query_engine import RetrieverQueryEngine

from langchain_sot import SoTChain
from llama_index_sot import SoTQueryEngine, SoTSynthesizer
from skeleton_of_thought import Answer, Limit, Prompts, Question, Route, SkeletonOfThought
from skeleton_of_thought.events import Event
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import ScriptedLLM


async def decide(question: Question) -> Route:
    return Route("skeleton" if question.history else "direct", "mine", "only later questions")


shared = Limit(8)
sot = SkeletonOfThought(
    llm=OpenAIModel("m", base_url="http://localhost/v1"),
    point_llm=ScriptedLLM(),
    router=decide,
    prompts=Prompts(point="Explain {title}."),
    max_concurrency=shared,
)
answer: Answer = sot.ask("How?")
events: list[Event] = list(sot.stream(Question("How?")))

chain = SoTChain(llm=FakeListChatModel(responses=["yes"]), max_concurrency=shared, heading="bold")
message: AIMessage = chain.invoke([HumanMessage("How?")])
text: str = (ChatPromptTemplate.from_template("{q}") | chain | StrOutputParser()).invoke({"q": "How?"})
chunks: list[AIMessageChunk] = list(chain.stream("How?"))


def engine(retriever: BaseRetriever) -> RetrieverQueryEngine:
    return SoTQueryEngine.from_args(retriever, streaming=True, detail="long", router="always")


def synthesizer() -> SoTSynthesizer:
    return SoTSynthesizer(streaming=True, max_points=4)
