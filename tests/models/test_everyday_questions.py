"""The default model answers everyday questions of our own with Skeleton-of-Thought."""

import pytest

from skeleton_of_thought import SkeletonOfThought

pytest.importorskip("openvino_genai")

from skeleton_of_thought.models.local import LocalModel

QUESTIONS = (
    "How can I sleep better at night?",
    "What should I consider when buying a used car?",
    "How do I prepare for a job interview?",
    "What are good habits for saving money?",
    "How can a small town attract more visitors?",
    "What are the benefits of learning a second language?",
    "How do I keep houseplants healthy?",
    "What are the pros and cons of working from home?",
    "How can parents limit screen time for children?",
    "What makes a good team leader?",
    "How do I plan a birthday party?",
    "Why is regular exercise important?",
    "How can I reduce food waste at home?",
    "What should a beginner know about hiking?",
    "How do cities reduce traffic?",
    "What are common causes of headaches?",
    "How can I make new friends in a new city?",
    "What are ways to save energy at home?",
    "How do I choose a bicycle?",
    "What are the advantages of public libraries?",
)


@pytest.mark.timeout(300)
def test_everyday_questions_get_points_and_every_point_gets_text() -> None:
    """At least 19 of 20 have three different points or more, no point is empty, and hardly a word is glued."""
    sot = SkeletonOfThought(llm=LocalModel(), point_max_tokens=24)
    answers = [sot.ask(question) for question in QUESTIONS]
    titles = [{section.point.title.casefold() for section in answer.sections} for answer in answers]
    assert 19 <= sum(len(each) >= 3 for each in titles), [str(answer.skeleton) for answer in answers]
    assert all(section.text for answer in answers for section in answer.sections)
    words = [word for each in titles for title in each for word in title.split()]
    assert sum(len(word) > 14 for word in words) / len(words) < 0.03, sorted(words, key=len)[-30:]
