"""A filter for the requests that a browser may send to Dagster's web server.

Dagster runs mutations sent by GET and accepts JSON with any content type. A page of any origin could use
both.
"""

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paywall_warehouse.web.origins import READS

GRAPHQL = "/graphql"
# A page of any origin may send these without a preflight request. Dagster's own pages send none of them.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
QUERIES = ("application/json", "application/graphql")


class GraphqlRequests:
    """Dagster's application, without the requests that a foreign page could make a user's browser send."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None and scope["type"] == "http" and scope["method"] not in READS:
            first = await receive()
            if first.get("body", b"").lstrip().startswith(b"["):
                refusal = 400, "Send one query per request, as a JSON object."
            receive = _after(first, receive)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, message = refusal
        await PlainTextResponse(f"{message}\n", status, headers={"Cache-Control": "no-store"})(
            scope, receive, send
        )


def _after(first: Message, receive: Receive) -> Receive:
    """Return a `receive` that returns `first` again, then the remaining messages."""
    messages = [first]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def _refusal(scope: Scope) -> tuple[int, str] | None:
    if scope["method"] in READS:
        # All of them: the application may use any one.
        texts = QueryParams(scope["query_string"]).getlist("query") if scope["path"] == GRAPHQL else []
        return next(filter(None, map(_refusal_of_query, texts)), None)
    content_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if content_type in FORMS or (scope["path"] == GRAPHQL and content_type not in QUERIES):
        return 415, "Send JSON, with the header Content-Type: application/json."
    return None


def _refusal_of_query(text: str) -> tuple[int, str] | None:
    try:
        document = parse(text)
    except (GraphQLError, RecursionError):
        return 400, "This is not a GraphQL document."
    return (
        None
        if _only_reads(document)
        else (405, "GET reads only: send a mutation or a subscription by POST or by WebSocket.")
    )


def _only_reads(document: DocumentNode) -> bool:
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    return all(one.operation is OperationType.QUERY for one in operations)
