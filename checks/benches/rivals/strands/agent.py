"""An agent on Strands behind HTTP, as its documentation deploys one: an Agent object for each conversation, one MCP client
for all, sessions in files, FastAPI and uvicorn.

POST /turn {"session": ..., "say": ...} answers with the words as they come. agent.py PORT MODEL_URL MCP_URL FOLDER
"""

import sys

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel
from strands import Agent
from strands.models.openai import OpenAIModel
from strands.session.file_session_manager import FileSessionManager
from strands.tools.mcp import MCPClient

port, model_url, mcp_url, folder = sys.argv[1:]
mcp = MCPClient(lambda: streamable_http_client(mcp_url))
mcp.start()
tools = mcp.list_tools_sync()
agents = {}
app = FastAPI()


def agent(session):
    if session not in agents:
        model = OpenAIModel(client_args={"base_url": model_url, "api_key": "none"}, model_id="script")
        agents[session] = Agent(
            model=model,
            tools=tools,
            system_prompt="You are a travel agent.",
            session_manager=FileSessionManager(session_id=session, storage_dir=folder),
            callback_handler=None,
        )
    return agents[session]


class Turn(BaseModel):
    session: str
    say: str


@app.get("/readyz")
async def ready():
    return PlainTextResponse("ready")


@app.post("/turn")
async def turn(wish: Turn):
    async def words():
        async for event in agent(wish.session).stream_async(wish.say):
            if "data" in event:
                yield event["data"]

    return StreamingResponse(words(), media_type="text/plain")


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
