"""Retrain requests as files: FOLDER/ID.json each, for whoever trains and has no access to the server.

A file is written whole or not at all, and once; what is there already is left alone.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from contracts.codec import to_plain
from contracts.ids import DEFAULT_TENANT
from fleet_server.database.session import reading
from fleet_server.errors import DataDirUnusable
from fleet_server.retrain.store import every_retrain_request

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from contracts.ids import TenantId
    from contracts.retrain import RetrainRequest

FOLDER = "retrain-requests"


def export_requests(engine: Engine, data_dir: Path) -> tuple[Path, ...]:
    """Write the requests that are no file yet under ``data_dir``/retrain-requests, and return the new files.

    Raises:
        DataDirUnusable: the folder cannot be written to.
    """
    with reading(engine) as session:
        requests = every_retrain_request(session)
    wanted = ((_path(data_dir, tenant, request), request) for tenant, request in requests)
    return tuple(_write(path, request) for path, request in wanted if not path.exists())


def _path(data_dir: Path, tenant: TenantId, request: RetrainRequest) -> Path:
    folder = data_dir / FOLDER if tenant == DEFAULT_TENANT else data_dir / FOLDER / tenant
    return folder / f"{request.id}.json"


def _write(path: Path, request: RetrainRequest) -> Path:
    text = json.dumps(to_plain(request), indent=2, sort_keys=True) + "\n"
    unfinished = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise DataDirUnusable(
            f"cannot write retrain request {path}: {error.strerror}; free space or fix its rights"
        ) from error
    return path
