"""Makes the Python code of the contracts: `python protos/generate.py`.

Writes `gen/`, which is never edited and never committed, and an image of the
contracts, `gen/liity.binpb`, that `buf lint` and `buf breaking` read. The comments of
the public RPCs and of their requests' fields go into `gen/liity/v1/comments.json` by full
name: the command line shows them as help.

`buf/validate/validate.proto` is not copied into the tree: its descriptor comes
from the installed protovalidate package, so that annotations and the engine
that enforces them are always of one version.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.type import date_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).parent
GEN = PROTOS.parent / "gen"
VALIDATE = "buf/validate/validate.proto"


def imported_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """The contracts of others that ours import."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, date_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    return files


def run_protoc(*arguments: str) -> None:
    """Runs protoc; its own message says what is wrong."""
    if protoc.main(["protoc", f"-I{PROTOS}", *arguments]) != 0:
        sys.exit(1)


def public_comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Full names of RPCs and of fields of requests in a public contract, with their comments on one line."""
    if file.package != "liity.v1":
        return
    for location in file.source_code_info.location:
        match list(location.path):
            case [6, service, 2, method]:
                parent, child = file.service[service].name, file.service[service].method[method].name
            case [4, message, 2, field] if file.message_type[message].name.endswith("Request"):
                parent, child = file.message_type[message].name, file.message_type[message].field[field].name
            case _:
                continue
        yield f"{file.package}.{parent}.{child}", " ".join(location.leading_comments.split())


def main() -> None:
    """Generates everything anew, so that nothing stale stays behind."""
    shutil.rmtree(GEN, ignore_errors=True)
    GEN.mkdir()
    imports = GEN / "imports.binpb"
    imports.write_bytes(imported_descriptors().SerializeToString())
    protos = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    services = [proto for proto in protos if proto.endswith("_service.proto")]
    known = f"--descriptor_set_in={imports}"
    run_protoc(known, f"--python_out={GEN}", f"--mypy_out=quiet:{GEN}", *protos, VALIDATE)
    run_protoc(known, f"--grpc_python_out={GEN}", f"--mypy_grpc_out=quiet:{GEN}", *services)
    image = GEN / "liity.binpb"
    run_protoc(known, "--include_imports", "--include_source_info", f"-o{image}", *protos)
    contracts = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    comments = {name: comment for file in contracts.file for name, comment in public_comments(file)}
    (GEN / "liity" / "v1" / "comments.json").write_text(json.dumps(comments, indent=1), "utf-8")


if __name__ == "__main__":
    main()
