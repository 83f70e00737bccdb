"""Tools for assistants, over the Model Context Protocol: what `intent serve` answers, and nothing that changes it.

The tools ask a running service with a key of its own, so what an assistant may see is what that key may. Without
``personal`` data no answer names a customer: ids are left out, and refused records are counted, not shown.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final
from urllib.parse import quote

import httpx
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from features.causes import cause

_SECONDS: Final = 15.0
_MOST_LETTERS: Final = 200
_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_INSTRUCTIONS: Final = (
    "Answers about a shop's customers: how likely one is to buy soon, why, and what would change it; how good these "
    "probabilities are; and which records were refused. All tools only read."
)
# What names a customer in an answer.
_NAMES: Final = frozenset({"customer_id", "event_id", "merged"})


class Service:
    """The HTTP service, as far as assistants may ask it.

    Parameters
    ----------
    url
        Where it answers.
    key
        Sent with every question; ``None`` where the service needs none.
    transport
        Carries the questions; by default the network.
    """

    def __init__(
        self, url: str, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=_SECONDS, transport=transport)

    async def ask(self, path: str, question: Any = None) -> Any:
        """Return an answer.

        Raises
        ------
        ToolError
            There is none; says why, and what to do.
        """
        try:
            if question is None:
                answer = await self._client.get(path)
            else:
                answer = await self._client.post(path, json=question)
            said = answer.json()
        except httpx.TransportError as error:
            raise ToolError(
                f"no service answers at {self._url} ({cause(error)}): start `intent serve`"
            ) from None
        except ValueError:
            raise ToolError(f"what answers at {self._url} is no `intent serve`") from None
        if answer.is_success:
            return said
        detail = said.get("detail", "") if isinstance(said, dict) else ""
        raise ToolError(f"{answer.status_code}: {detail or answer.reason_phrase}")


def assistant(service: Service, *, personal: bool = False) -> MCPServer:
    """Return the server of the tools.

    Parameters
    ----------
    personal
        Whether answers may name customers and show refused records.
    """
    server = MCPServer("purchase-intent", instructions=_INSTRUCTIONS, log_level="ERROR")

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = answer if personal else without_names(answer)
        return shown

    @server.tool(annotations=_READS)
    async def customer(customer_id: str, features: bool = False) -> dict[str, Any]:
        """Return what is known about a customer: purchase intent, as of when, band, segment, reasons, action.

        With features also the model's input by name. Times are epoch milliseconds.
        """
        return told(await service.ask(f"{_path(customer_id)}?features={str(features).lower()}"))

    @server.tool(annotations=_READS)
    async def reasons(customer_id: str) -> dict[str, Any]:
        """Return why a customer is likely or unlikely to buy: facts, with their effects on the log-odds."""
        found = await service.ask(f"{_path(customer_id)}?features=false")
        return {name: found[name] for name in ("purchase_intent", "band", "as_of", "reasons")}

    @server.tool(annotations=_READS)
    async def what_if(customer_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what the purchase intent would be after up to 20 events that have not happened; nothing is stored.

        An event is such as {"type": "add_to_cart", "item_id": "sku-4", "price": 50, "quantity": 1}. Types: view_item,
        view_item_list, search, add_to_cart, remove_from_cart, begin_checkout, purchase, refund,
        add_to_wishlist, remove_from_wishlist.
        """
        question = {"customer_id": customer_id, "events": events, "features": False}
        return told(await service.ask("/v1/what-if", question))

    @server.tool(annotations=_READS)
    async def quality() -> dict[str, Any]:
        """Return how good the published probabilities were, by model: AUC, log-loss, calibration (ECE), prevalence."""
        found: dict[str, Any] = await service.ask("/v1/quality")
        return found

    @server.tool(annotations=_READS)
    async def dead_letters(reason: str = "", limit: int = 20) -> dict[str, Any]:
        """Return the latest records that were refused, by reason. Needs a key of the scope admin."""
        wanted = f"&reason={quote(reason, safe='')}" if reason else ""
        found = await service.ask(f"/v1/dead-letters?limit={min(max(limit, 1), _MOST_LETTERS)}{wanted}")
        counts = Counter(str(letter.get("reason")) for letter in found)
        return {"by_reason": dict(counts), **({"letters": found} if personal else {})}

    return server


def without_names(answer: Any) -> Any:
    """Return an answer without what names a customer.

    Examples
    --------
    >>> without_names({"customer_id": "c-17", "before": {"customer_id": "c-17", "band": "high"}})
    {'before': {'band': 'high'}}
    """
    if isinstance(answer, dict):
        return {name: without_names(value) for name, value in answer.items() if name not in _NAMES}
    return [without_names(one) for one in answer] if isinstance(answer, list) else answer


def _path(customer_id: str) -> str:
    return f"/v1/customers/{quote(customer_id, safe='')}"
