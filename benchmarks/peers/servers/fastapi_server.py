"""FastAPI on uvicorn: a worker process a core.

https://fastapi.tiangolo.com/deployment/server-workers/
"""

from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pipeline import Pipeline, port, workers

state = {}


@asynccontextmanager
async def lifespan(app):
    state["pipeline"] = Pipeline()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/image")
async def image(request: Request, seed: int):
    label_map = await request.body()
    data = await run_in_threadpool(state["pipeline"].image, label_map, seed)
    return Response(data, media_type="image/png")


if __name__ == "__main__":
    uvicorn.run(
        "fastapi_server:app",
        host="127.0.0.1",
        port=port(),
        workers=workers(),
        access_log=False,
        log_level="warning",
    )
