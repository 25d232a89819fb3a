"""The dashboard: a page of plain ES modules, served from the package as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from litestar import MediaType, Response, Router, get
from litestar.params import FromPath
from litestar.response import Redirect

from service.errors import NotFoundError
from service.http.pages import media_type_of, secure_page

FOLDER = Path(__file__).with_name("static")
ASSETS_PATH = "/dashboard"


def dashboard_routers(options: dict[str, Any]) -> list[Router]:
    """Return the routes of the page and its files; `options` are those of the routes."""
    # The files are read once, at the start: no path that a caller sends ever reaches the file system.
    files = {
        f"/{path.relative_to(FOLDER).as_posix()}": (path.read_bytes(), media_type_of(path))
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    index, _ = files.pop("/index.html")
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:16]}"' for name, (content, _) in files.items()}

    @get("/", include_in_schema=False)
    async def dashboard() -> Response[bytes]:
        return secure_page(Response(index, media_type=MediaType.HTML, headers={"Cache-Control": "no-cache"}))

    @get("/docs", include_in_schema=False)
    async def docs() -> Redirect:
        return Redirect("/api/docs")

    @get("/{file:path}", include_in_schema=False)
    async def asset(file: FromPath[str]) -> Response[bytes]:
        if file not in files:
            raise NotFoundError("there is no such file")
        content, media_type = files[file]
        headers = {"Cache-Control": "no-cache", "ETag": tags[file], "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=media_type, headers=headers)

    return [
        Router("/", route_handlers=[dashboard, docs], **options),
        Router(ASSETS_PATH, route_handlers=[asset], **options),
    ]
