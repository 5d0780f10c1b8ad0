"""Exports."""

from collections.abc import Iterable

from libs.common.errors import InvalidArgument
from services.invoicing.convert.ledger import date_in
from services.invoicing.domain.export import Column, Dataset, Export, Format
from weir.invoicing.v1 import exports_pb2 as pb


def export_in(request: pb.ExportRowsRequest) -> Export:
    if request.dataset == pb.DATASET_UNSPECIFIED or request.dataset not in pb.Dataset.values():
        raise InvalidArgument("FIELD_MISSING", "dataset is required", field="dataset")
    if request.format == pb.EXPORT_FORMAT_UNSPECIFIED or request.format not in pb.ExportFormat.values():
        raise InvalidArgument("FIELD_MISSING", "format is required", field="format")
    return Export(
        Dataset(pb.Dataset.Name(request.dataset).removeprefix("DATASET_").lower()),
        Format(pb.ExportFormat.Name(request.format).removeprefix("EXPORT_FORMAT_").lower()),
        date_in(request.start_date, "start_date") if request.HasField("start_date") else None,
        date_in(request.end_date, "end_date") if request.HasField("end_date") else None,
    )


def columns_out(columns: Iterable[Column]) -> Iterable[pb.ExportColumn]:
    return [
        pb.ExportColumn(name=each.name, type=pb.ExportColumn.Type.Value(f"TYPE_{each.type.name}")) for each in columns
    ]
