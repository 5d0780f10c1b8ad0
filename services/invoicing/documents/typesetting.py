"""From a template and its inputs to PDF/A-3. Typst reads nothing but them and the fonts that are shipped."""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import typst

CJK_FONTS = "noto_cjk_sans_otc"
STANDARD = "\n#standard()\n"
FAMILIES = {
    "Noto Sans": "Aé",
    "Noto Sans Arabic": "ا",
    "Noto Sans Hebrew": "א",
    "Noto Sans Devanagari": "अ",
    "Noto Sans Thai": "ก",
    "Noto Sans CJK JP": "日",
    "Noto Sans CJK KR": "日",
    "Noto Sans CJK SC": "日",
    "Noto Sans CJK TC": "日",
}
"""What is shipped, each with something that it draws."""


class Unprintable(Exception):
    """Typst makes no document of a template and its inputs; says why."""


class Typesetter:
    """Fonts are read once. Files are looked for in the folder of the standard template, which has no others."""

    def __init__(self) -> None:
        folder = Path(str(files(__package__) / "templates"))
        self._parts = (folder / "document.typ").read_text("utf-8")
        fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=_font_folders())
        self._compiler = typst.Compiler(font_paths=fonts, root=folder, package_path=folder, package_cache_path=folder)

    def read_fonts(self) -> None:
        """Now, rather than when a text first needs one."""
        texts = (f'#text(font: "{family}", fallback: false)[{it} *{it}*]' for family, it in FAMILIES.items())
        text = "\n".join(texts)
        self._compiler.compile(text.encode(), format="pdf")

    def pdf(self, template: str, inputs: Mapping[str, str], made_at: datetime) -> bytes:
        """The same for the same. Raises Unprintable."""
        try:
            made = self._compiler.compile(
                self._source(template),
                format="pdf",
                sys_inputs=dict(inputs),
                pdf_standards=["a-3b"],
                timestamp=int(made_at.timestamp()),
            )
        except typst.TypstError as error:
            raise Unprintable(error.message) from None
        assert isinstance(made, bytes), "a PDF is one file"
        return made

    def png(self, template: str, inputs: Mapping[str, str], ppi: float) -> list[bytes]:
        """A picture of each page."""
        made = self._compiler.compile(self._source(template), format="png", sys_inputs=dict(inputs), ppi=ppi)
        return [made] if isinstance(made, bytes) else list(made or [])

    def _source(self, template: str) -> bytes:
        """What is compiled: the shipped parts, then the template, "" for the standard one."""
        return (self._parts + (template or STANDARD)).encode()


def _font_folders() -> list[Path]:
    spec = find_spec(CJK_FONTS)
    assert spec is not None, "it is a dependency"
    return [Path(str(files(__package__) / "fonts")), *map(Path, spec.submodule_search_locations or ())]
