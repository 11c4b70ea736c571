"""The browsable page of an OpenAPI document: plain HTML that loads nothing from anywhere.

The usual renderers fetch their scripts from a public host; a self-hosted service has to be
readable behind a closed network, and without telling others who reads it.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.openapi.plugins import OpenAPIRenderPlugin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from litestar import Request

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; padding: .5rem 1rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
code, pre { font: .9em ui-monospace, monospace } pre { overflow-x: auto; padding: .5rem; background: #8882 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .8rem .2rem 0;
vertical-align: top; border-bottom: 1px solid #8884 }
"""

Document = dict[str, Any]


class ReferencePage(OpenAPIRenderPlugin):
    """Serves the page at the document's path."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        """Render the document as HTML."""
        del request
        return "\n".join(_page(openapi_schema)).encode()


def _page(document: Document) -> Iterator[str]:
    info = document["info"]
    title = escape(info["title"])
    yield "<!doctype html><html lang='en'><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    yield f"<title>{title}</title><style>{_STYLE}</style>"
    yield f"<h1>{title}</h1><p>{escape(info.get('description', ''))}</p>"
    yield "<p>The same as a document for tools: <a href='docs/openapi.json'>openapi.json</a></p>"
    yield "<h2>Operations</h2>"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield from _operation(document, method, path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>"
        yield f"<pre>{_pretty(schema)}</pre></details>"
    yield "</html>"


def _operation(document: Document, method: str, path: str, operation: Document) -> Iterator[str]:
    yield f"<details id='{escape(operation['operationId'])}'><summary><b>{method.upper()}</b>"
    yield f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    schemes = [scheme for choice in operation.get("security", ()) for scheme in choice]
    yield f"<p>Authentication: {escape(', '.join(schemes) or 'none')}</p>"
    if parameters := operation.get("parameters"):
        yield "<h4>Parameters</h4><table>"
        for one in parameters:
            need = "required" if one.get("required") else "optional"
            yield f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}, {need}"
            yield f"<td>{escape(one.get('description', ''))}<td><code>{_compact(one['schema'])}</code>"
        yield "</table>"
    if body := operation.get("requestBody"):
        yield f"<h4>Body</h4>{_content(body)}"
    yield "<h4>Responses</h4><table>"
    for status, given in sorted(operation["responses"].items()):
        response = _resolve(document, given)
        yield f"<tr><td>{status}<td>{escape(response['description'])}<td>{_content(response)}"
        yield f"<td>{'<br>'.join(escape(name) for name in response.get('headers', ()))}"
    yield "</table></details>"


def _content(part: Mapping[str, Any]) -> str:
    """Show what a body looks like: a link to its schema, or the schema itself."""
    shown = []
    for media_type, content in part.get("content", {}).items():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        link = f"<a href='#{escape(name)}'>{escape(name)}</a>"
        shown.append(f"{escape(media_type)} {link if name else _compact(content['schema'])}")
    return "<br>".join(shown)


def _resolve(document: Document, part: Document) -> Document:
    if "$ref" not in part:
        return part
    found = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _compact(value: object) -> str:
    return escape(msgspec.json.encode(value).decode())


def _pretty(value: object) -> str:
    return escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
