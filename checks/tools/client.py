"""Lists and calls the tools of an MCP server with the official Python SDK, and prints what it got as one JSON line.

    client.py MODE http URL TOOL ARGUMENTS
    client.py MODE stdio TOOL ARGUMENTS COMMAND [ARGUMENT...]

MODE is `legacy` (initialize), `auto` (discover, falls back) or a revision without a handshake.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


async def main(mode: str, kind: str, *rest: str) -> None:
    if kind == "http":
        server, tool, arguments = rest
    else:
        tool, arguments, command, *flags = rest
        server = StdioServerParameters(command=command, args=flags)
    async with Client(server, mode=mode) as client:
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
                }
            )
        )


asyncio.run(main(*sys.argv[1:]))
