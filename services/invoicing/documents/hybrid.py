"""Factur-X: a PDF/A-3 that says it carries an e-invoice.

Typst attaches the file. What XMP has to say of it (Factur-X 1.0, section 6.2) is added as an incremental update of the
PDF: the metadata stream once more, and where it is now.
"""

import re

FILE_NAME = "factur-x.xml"

_METADATA = re.compile(
    rb"\n(\d+) 0 obj\n<</Length \d+/Type/Metadata/Subtype/XML>>\nstream\n(.*?)\nendstream", re.DOTALL
)
_TRAILER = re.compile(rb"trailer\n<<(.*)>>\nstartxref\n(\d+)\n%%EOF\s*$", re.DOTALL)
_NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_PROPERTIES = {
    "DocumentFileName": (FILE_NAME, "name of the embedded XML invoice file"),
    "DocumentType": ("INVOICE", "INVOICE"),
    "Version": ("1.0", "version of the schema of the embedded XML invoice file"),
    "ConformanceLevel": ("EN 16931", "conformance level of the embedded XML invoice file"),
}
_SCHEMA = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
    f"<pdfaSchema:namespaceURI>{_NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
    "<pdfaSchema:property><rdf:Seq>"
    + "".join(
        f'<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{name}</pdfaProperty:name>'
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{text}</pdfaProperty:description></rdf:li>"
        for name, (_, text) in _PROPERTIES.items()
    )
    + "</rdf:Seq></pdfaSchema:property></rdf:li>"
).encode()
_DESCRIPTION = (
    f'<rdf:Description rdf:about="" xmlns:fx="{_NAMESPACE}">'
    + "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in _PROPERTIES.items())
    + "</rdf:Description>"
).encode()
_SCHEMAS, _END = b"<pdfaExtension:schemas><rdf:Bag>", b"</rdf:RDF>"


def marked(pdf: bytes) -> bytes:
    """`pdf`, made by Typst as PDF/A-3 with FILE_NAME attached, as Factur-X."""
    metadata, trailer = _METADATA.search(pdf), _TRAILER.search(pdf)
    assert metadata is not None, "a PDF/A has metadata"
    assert trailer is not None, "Typst writes classic cross-references"
    number, xmp = metadata.groups()
    keys, previous = trailer.groups()
    assert _SCHEMAS in xmp, "Typst describes schemas of its own"
    xmp = xmp.replace(_SCHEMAS, _SCHEMAS + _SCHEMA, 1).replace(_END, _DESCRIPTION + _END, 1)
    start = len(pdf) + 1
    update = b"%s 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%s\nendstream\nendobj\n" % (
        number,
        len(xmp),
        xmp,
    )
    table = b"xref\n0 1\n0000000000 65535 f\r\n%s 1\n%010d 00000 n\r\n" % (number, start)
    end = b"trailer\n<<%s/Prev %s>>\nstartxref\n%d\n%%%%EOF\n" % (keys, previous, start + len(update))
    return pdf + b"\n" + update + table + end
