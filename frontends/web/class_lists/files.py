"""Files of class lists: their formats, and a download as the answer."""

from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import quote

from starlette.responses import Response

from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CLASS_LIST_FORMAT_XLSX,
    ClassListFormat,
)

FORMATS: Mapping[str, ClassListFormat.ValueType] = {
    "csv": CLASS_LIST_FORMAT_CSV,
    "xlsx": CLASS_LIST_FORMAT_XLSX,
}

_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def format_of(file_name: str) -> ClassListFormat.ValueType:
    """The format by the end of a file's name. The API tells by the content what another file is."""
    return FORMATS.get(_ending(file_name), CLASS_LIST_FORMAT_CSV)


def download(content: bytes, file_name: str) -> Response:
    """A file that the browser saves under its name."""
    disposition = f"attachment; filename*=UTF-8''{quote(file_name)}"
    return Response(
        content, headers={"Content-Disposition": disposition}, media_type=_TYPES[_ending(file_name)]
    )


def _ending(file_name: str) -> str:
    return PurePath(file_name).suffix.lower().removeprefix(".")
