"""IDs of the items of customer service's work list."""

from liity.v1.work_service_pb2 import WorkItemKind


def work_item_id(kind: WorkItemKind.ValueType, *row_ids: str) -> str:
    """The ID of an item, from what it is about: the rows' own IDs, of two customers in their order."""
    return "-".join((str(int(kind)), *row_ids))
