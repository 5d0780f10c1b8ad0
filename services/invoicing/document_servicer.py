"""The RPCs of DocumentService."""

from libs.common.rpc.server import caller
from libs.common.wire import code_in, text_in
from services.invoicing import convert
from services.invoicing.documenting import Documents
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import documents_pb2 as pb
from weir.invoicing.v1.documents_pb2_grpc import DocumentServiceServicer


class DocumentServicer(DocumentServiceServicer):
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        kind, form = convert.document_asked_in(request.kind, request.format)
        file = await self._documents.file(caller().tenant_id, kind, text_in(request.id, "id"), form)
        return pb.GetDocumentResponse(document=convert.document_out(file))

    async def GetStatement(self, request: pb.GetStatementRequest, context: Context) -> pb.GetStatementResponse:
        customer_id = text_in(request.customer_id, "customer_id")
        first_day, last_day, currency = convert.statement_asked_in(request)
        entity = code_in(request.legal_entity_code, "legal_entity_code") if request.legal_entity_code else None
        file = await self._documents.statement(caller().tenant_id, customer_id, entity, first_day, last_day, currency)
        return pb.GetStatementResponse(document=convert.document_out(file))
