"""Lists and calls the tools of an MCP server with the official Python SDK, and prints what it got as one JSON line.

    client.py MODE http URL TOOL ARGUMENTS
    client.py MODE stdio TOOL ARGUMENTS COMMAND [ARGUMENT...]

MODE is `legacy` (initialize), `auto` (discover, falls back) or a revision without a handshake. A question to the user
is answered with yes to all that it asks, and stands under `asked`.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult


async def main(mode: str, kind: str, *rest: str) -> None:
    if kind == "http":
        server, tool, arguments = rest
    else:
        tool, arguments, command, *flags = rest
        server = StdioServerParameters(command=command, args=flags)
    asked = []

    async def agree(context, params):
        asked.append(params.message)
        questions = params.requested_schema["properties"]
        return ElicitResult(action="accept", content={name: True for name in questions})

    async with Client(server, mode=mode, elicitation_callback=agree) as client:
        names, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        result = await client.call_tool(tool, json.loads(arguments))
        print(
            json.dumps(
                {
                    "version": client.protocol_version,
                    "tools": names,
                    "isError": bool(result.is_error),
                    "structured": result.structured_content,
                    "asked": asked,
                }
            )
        )


asyncio.run(main(*sys.argv[1:]))
