"""The pizza shop in Python: awslabs' own MCP handler for AWS Lambda, as its README has it."""

import json
from itertools import count
from typing import Optional

from awslabs.mcp_lambda_handler import MCPLambdaHandler

SHOPS = {
    "napoli": {"margherita": 900, "marinara": 800, "diavola": 1150},
    "roma": {"bianca": 850, "capricciosa": 1250},
}

mcp = MCPLambdaHandler(name="pizza", version="0.1.0")
orders = count(1)


def order_pizza(shopId: str, pizza: str, quantity: int = 1, address: Optional[str] = None) -> str:
    """Orders pizza from a shop and returns the receipt. Read menu://{shop_id} first to see what the shop bakes. Leave the address out to let the user type it.

    Args:
        shopId: The shop, such as `napoli`; the resource `menu://{shop_id}` says what it bakes.
        pizza: The pizza, as the menu calls it.
        quantity: How many; one unless said otherwise.
        address: Where to bring it. The user is asked when it is missing.
    """
    menu = SHOPS.get(shopId)
    if menu is None:
        raise ValueError(f"no shop {json.dumps(shopId)}; there are napoli and roma")
    price = menu.get(pizza)
    if price is None:
        raise ValueError(f"{shopId} bakes no {json.dumps(pizza)}; read menu://{shopId}")
    if not 1 <= quantity <= 20:
        raise ValueError(f"quantity is {quantity}; order 1 to 20")
    # the library cannot ask the user
    if address is None:
        raise ValueError("the address is missing; ask the user for the address and pass it")
    receipt = {
        "address": address,
        "order": next(orders),
        "pizza": pizza,
        "quantity": quantity,
        "totalCents": price * quantity,
    }
    return json.dumps(receipt, separators=(",", ":"), ensure_ascii=False)


# the library names a tool after its function, and `-` is none of Python's letters
order_pizza.__name__ = "order-pizza"
mcp.tool()(order_pizza)


def menu(shop_id):
    return lambda: "\n".join(f"{pizza}: {cents}" for pizza, cents in SHOPS[shop_id].items())


# it has no resource templates and no prompts
for shop_id in SHOPS:
    mcp.resource(
        uri=f"menu://{shop_id}",
        name="menu",
        description="What a shop bakes, and what it costs in cents.",
        mime_type="text/plain",
    )(menu(shop_id))


def lambda_handler(event, context):
    """What the runtime calls."""
    return mcp.handle_request(event, context)
