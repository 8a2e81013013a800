"""An endpoint that streams an answer while it is written, and stops the models when the client leaves.

    pip install "skeleton-of-thought[langchain]" langchain-openai fastapi uvicorn
    OPENAI_API_KEY=... python examples/fastapi_stream.py
    curl -N "http://127.0.0.1:8000/answer?question=How+do+I+sleep+better%3F"

OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model, PORT another port.
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from langchain_sot import SoTChain


def application(model: BaseChatModel) -> FastAPI:
    """Make the application; one chain serves all requests, and bounds their model calls together."""
    app = FastAPI()
    chain = SoTChain(llm=model, max_concurrency=64)

    async def texts(question: str) -> AsyncIterator[str]:
        chunks = chain.astream(question)
        try:
            async for chunk in chunks:
                yield chunk.text
        finally:  # a client that leaves cancels this; closing the stream ends the requests to the model
            await chunks.aclose()

    @app.get("/answer")
    async def answer(question: Annotated[str, Query(pattern=r"\S")]) -> StreamingResponse:
        return StreamingResponse(texts(question), media_type="text/plain; charset=utf-8")

    return app


if __name__ == "__main__":
    llm = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    uvicorn.run(application(llm), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
