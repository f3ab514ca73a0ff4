"""The OpenAPI document: what FastAPI derives from the routes, made whole.

Every answer that an address can give stands in it by its status: what its route says, and what holds for all (nobody
known, not allowed, too much asked, …). There is no ``default``: a status that is not there is a fault of ours, and a
test goes looking for it. Every answer and every body has an example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from vault import wire
from vault.api import curl, examples
from vault.api.auth import Needs
from vault.api.openapi import PROBLEM_MEDIA
from vault.api.problems import PROBLEMS

_Node = dict[str, Any]

_EVERYWHERE: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad-query", "Something of the request cannot be read or is not right; `faults` lists everything."),
    401: ("bad-credentials", "There is no token, or it is not valid."),
    403: ("wrong-scope", "The token is valid and may not do this."),
    429: ("too-many-requests", "More was asked than this token may; see `Retry-After`."),
    431: ("headers-too-large", "The head of the request is too large."),
    500: ("internal-error", "A fault of the node, or of what it stores."),
    503: ("catalogue-busy", "The node cannot answer now; see `Retry-After`."),
}
"""What any address can answer, with a code that is typical of it."""

_WITH_BODY: Final[Mapping[int, tuple[str, str]]] = {
    408: ("request-timeout", "Nothing of the body came for too long, or it came too slowly."),
    413: ("request-too-large", "The body is larger than this address takes."),
}
_WITH_CHANGE: Final[Mapping[int, tuple[str, str]]] = {
    409: ("conflict", "It contradicts what is stored, or a rule."),
    507: ("no-space", "There is no room for it."),
}
"""What an address that changes something can answer."""

_NOT_THERE: Final = (404, ("not-found", "There is no such thing, or the token may not see it."))
_NAMING_IN_BODY: Final = frozenset({"order_recall", "order_repairs", "order_verifications"})
"""Operations whose body names something that may not be there."""

_OTHERS: Final[Mapping[int, str]] = {
    404: "not-found", 409: "conflict", 410: "upload-expired", 412: "precondition-failed", 415: "unsupported-encoding",
    416: "range-not-satisfiable", 423: "upload-busy", 422: "state-secret", 460: "checksum-mismatch", 507: "no-space",
}  # fmt: skip
"""Codes for the examples of what routes add."""

_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "The challenge of RFC 6750."},
    429: {"Retry-After": "Seconds after which it may be asked again."},
    503: {"Retry-After": "Seconds after which it may be asked again."},
}
_TAGS: Final[Mapping[str, str]] = {
    "deposits": "Taking in, and what became of it.",
    "uploads": "Resumable deposits (tus 1.0.0).",
    "batches": "Deliveries (đợt giao nộp) as one unit.",
    "packages": "What is held.",
    "content": "Fetching.",
    "events": "What happened.",
    "operations": "What is done to the node.",
    "tokens": "Who may do what.",
    "node": "The process.",
}
_SCHEME: Final = "bearer"


def make_document(app: FastAPI, routers: Iterable[APIRouter]) -> _Node:
    """Return the OpenAPI 3.1 document of an application that is made of these routers."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    document["servers"] = [{"url": "/", "description": "This node."}]
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `vaultctl token create`. Over the Unix socket a local operator needs none.",
        }
    }
    _complete_schemas(components.setdefault("schemas", {}))
    needed = dict(_needed(routers))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete(operation, method, path, needed.get(operation["operationId"]), components)
    used = {tag for item in document["paths"].values() for operation in item.values() for tag in operation["tags"]}
    document["tags"] = [
        {"name": name, "description": _TAGS.get(name, "")} for name in [*_TAGS, *sorted(used - {*_TAGS})]
    ]
    return document


def _place(tag: str) -> tuple[int, str]:
    known = list(_TAGS)
    return known.index(tag) if tag in known else len(known), tag


def _needed(routers: Iterable[APIRouter]) -> Iterator[tuple[str, Needs]]:
    """What each operation that is not open to all needs."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for dependency in route.dependant.dependencies:
                    if isinstance(dependency.call, Needs):
                        yield route.name, dependency.call


def _complete_schemas(schemas: _Node) -> None:
    for model in (wire.Fault, wire.Problem, wire.FileList, wire.ContentFile, wire.BatchOrder):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)


def _complete(operation: _Node, method: str, path: str, needed: Needs | None, components: _Node) -> None:
    answers: _Node = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422", "")):
        del answers["422"]  # FastAPI announces its own form of errors, which is not ours
    common = dict(_EVERYWHERE)
    if "requestBody" in operation:
        common |= _WITH_BODY
    if method not in ("get", "head", "options"):
        common |= _WITH_CHANGE
    if "{" in path or operation["operationId"] in _NAMING_IN_BODY:
        common |= [_NOT_THERE]
    if "{" in path:
        # A parameter that is a dot, or nothing, makes another address of it on its way (RFC 3986, section 5.2.4).
        common[405] = ("method-not-allowed", "The path's parameter made another address of it.")
    for status, (code, description) in common.items():
        if str(status) not in answers:
            name = f"Problem{status}"
            components.setdefault("responses", {})[name] = _problem(status, code, description)
            answers[str(status)] = {"$ref": f"#/components/responses/{name}"}
    for text, answer in answers.items():
        if "$ref" not in answer:
            _complete_answer(int(text), answer, components["schemas"], operation["operationId"])
    operation["responses"] = dict(sorted(answers.items()))
    for media in operation.get("requestBody", {}).get("content", {}).values():
        _illustrate(media, components["schemas"], operation["operationId"])
    if needed is None:
        # Open from the same machine; from elsewhere any token does.
        operation["security"] = [{}, {_SCHEME: []}]
    else:
        operation["security"] = [{_SCHEME: []}]
        operation["x-khoso-scopes"] = sorted(scope.value for scope in needed.any_of)
    source = curl.command(method, path, operation, components["schemas"])
    operation["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": source}]


def _complete_answer(status: int, answer: _Node, schemas: _Node, name: str) -> None:
    if PROBLEM_MEDIA in answer.get("content", {}):
        code = _OTHERS.get(status) or {**_EVERYWHERE, **_WITH_BODY}[status][0]
        answer["content"][PROBLEM_MEDIA]["example"] = examples.problem(code)
    if any(media.get("schema") == {} for media in answer.get("content", {}).values()):
        # FastAPI's own word for an answer of which it knows nothing: here it has no body.
        del answer["content"]
    # A schema would be of the whole stream, or of one event, as the reader likes: OpenAPI 3.1 does not say.
    answer.get("content", {}).get("text/event-stream", {}).pop("schema", None)
    for media in answer.get("content", {}).values():
        _illustrate(media, schemas, name)
    for header, text in _HEADERS.get(status, {}).items():
        answer.setdefault("headers", {})[header] = {"description": text, "schema": {"type": "string"}}


def _illustrate(media: _Node, schemas: _Node, name: str) -> None:
    schema = media.get("schema")
    if "example" in media or "examples" in media or not schema or schema.get("format") == "binary":
        return
    given = examples.GIVEN.get(name)
    media["example"] = given if given is not None and "$ref" not in schema else examples.of_schema(schema, schemas)


def _problem(status: int, code: str, description: str) -> _Node:
    made: _Node = {
        "description": description,
        "content": {
            PROBLEM_MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": examples.problem(code)}
        },
    }
    for header, text in _HEADERS.get(status, {}).items():
        made.setdefault("headers", {})[header] = {"description": text, "schema": {"type": "string"}}
    assert PROBLEMS[code].status == status, code  # noqa: S101 - an example that could not be
    return made
