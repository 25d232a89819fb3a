"""The docs page: Swagger UI without the internet, under a strict Content-Security-Policy.

Its files come from the package flask-openapi-swagger; Flask itself is not used.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from litestar import MediaType, Response, Router, get
from litestar.params import FromPath
from litestar.response import File

from service.errors import NotFoundError

STATIC_PATH = "/api/docs/static"

# A browser refuses a stylesheet or a script of another type. The table of the machine may lack any of these.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


def secure_page(response: Response[Any]) -> Response[Any]:
    """Allow a page to load and run its own files and scripts only, and no other site to show it in a frame."""
    if response.media_type == MediaType.HTML:
        scripts = b" ".join(b"'sha256-%s'" % digest for digest in _inline_scripts(response.content)).decode()
        response.headers |= {
            "Content-Security-Policy": (
                f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
                "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }
    return response


def _inline_scripts(page: bytes) -> list[bytes]:
    """Return the SHA-256 of each script inside a page, in the form that a Content-Security-Policy needs."""
    scripts = re.findall(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script).digest()) for script in scripts]


def media_type_of(path: Path) -> str:
    """Return the media type of a file by its name."""
    return _MEDIA_TYPES.get(path.suffix, "application/octet-stream")


def docs_assets_router(options: dict[str, Any]) -> Router:
    """Return the route that serves the files of Swagger UI; `options` are those of the route."""
    spec = importlib.util.find_spec("flask_openapi_swagger")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "templates", "swagger")
    # The files are listed once, at the start: no path that a caller sends ever reaches the file system.
    files = {f"/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}

    @get("/{file:path}", include_in_schema=False)
    async def asset(file: FromPath[str]) -> File:
        if file not in files:
            raise NotFoundError("there is no such file")
        path = files[file]
        return File(path, filename=path.name, media_type=media_type_of(path), content_disposition_type="inline")

    return Router(STATIC_PATH, route_handlers=[asset], **options)
