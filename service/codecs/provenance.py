"""Says in an image file how the image came about: XMP with IPTC's Digital Source Type.

The packet of a model is built once; it is spliced into finished files, whichever encoder wrote them, without
decoding anything.

Sources: IPTC Photo Metadata Standard 2025.1, sections "Digital Source Type" and "AI System Used"
(https://iptc.org/std/photometadata/specification/); Adobe XMP part 3, storage in files; PNG, third edition;
ITU-T T.81 for JPEG; RFC 9649 for WebP.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NoReturn
from xml.sax.saxutils import quoteattr

from service.codecs.image import ImageFormat


class DigitalSourceType(StrEnum):
    """How an image came about, by the terms of IPTC's vocabulary."""

    TRAINED = "trainedAlgorithmicMedia"
    """Made by a model alone."""
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    """An image from elsewhere, which a model has edited."""

    @property
    def uri(self) -> str:
        """The term's full name."""
        return f"http://cv.iptc.org/newscodes/digitalsourcetype/{self.value}"


CREATOR_TOOL = "Maskweave"

_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    " xmp:CreatorTool={tool} Iptc4xmpExt:DigitalSourceType={source}"
    " Iptc4xmpExt:AISystemUsed={system} Iptc4xmpExt:AISystemVersionUsed={version}/>"
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PNG_HEADER_END = 33  # the signature, and the chunk IHDR
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_JPEG_START, _JPEG_JFIF = b"\xff\xd8", b"\xff\xe0"
_JPEG_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MAX_SEGMENT = 0xFFFF
_WEBP_HEADER_BYTES, _WEBP_CHUNK_BYTES = 12, 8
_WEBP_XMP, _WEBP_ALPHA = 0x04, 0x10


@dataclass(frozen=True, slots=True)
class Mark:
    """What is put into the files of one model, as each format holds it.

    Attributes:
        png: A chunk iTXt.
        jpeg: A segment APP1.
        webp: A chunk XMP.
    """

    png: bytes
    jpeg: bytes
    webp: bytes

    def put_into(self, data: bytes, image_format: ImageFormat) -> bytes:
        """Put the mark into a file that has none.

        Args:
            data: A file as an encoder of this service wrote it.
            image_format: Its format.

        Returns:
            The file with the mark; for RAW, which has no place for it, the same bytes.

        Raises:
            ValueError: The file is not of the format.
        """
        match image_format:
            case ImageFormat.PNG:
                return self._into_png(data)
            case ImageFormat.JPEG:
                return self._into_jpeg(data)
            case ImageFormat.WEBP:
                return self._into_webp(data)
        return data

    def _into_png(self, data: bytes) -> bytes:
        """Behind the header: readers that stop at the pixels find it."""
        if data[12:16] != b"IHDR":
            _refuse("PNG")
        return b"".join((data[:_PNG_HEADER_END], self.png, data[_PNG_HEADER_END:]))

    def _into_jpeg(self, data: bytes) -> bytes:
        """Behind JFIF's segment, which has to be the first."""
        if not data.startswith(_JPEG_START):
            _refuse("JPEG")
        at = 2
        if data.startswith(_JPEG_JFIF, at):
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        return b"".join((data[:at], self.jpeg, data[at:]))

    def _into_webp(self, data: bytes) -> bytes:
        """At the end, as the format asks, and announced in the extended header, made if there is none."""
        if not (data.startswith(b"RIFF") and data.startswith(b"WEBPVP8", 8)):
            _refuse("WebP")
        kind = data[12:16]
        chunks = data[_WEBP_HEADER_BYTES:]
        if kind == b"VP8X":
            flags_at = _WEBP_CHUNK_BYTES
            extended = b"".join(
                (chunks[:flags_at], bytes((chunks[flags_at] | _WEBP_XMP,)), chunks[flags_at + 1 :])
            )
        else:
            extended = _webp_extended_header(kind, data) + chunks
        body = b"".join((b"WEBP", extended, self.webp))
        return b"".join((b"RIFF", struct.pack("<I", len(body)), body))


@lru_cache(maxsize=256)
def model_mark(source: DigitalSourceType, model: str, version: str) -> Mark:
    """The mark of the images of a model.

    Args:
        source: How the images come about.
        model: Name of the model.
        version: Its version.

    Raises:
        ValueError: Name and version together do not fit into a segment of a JPEG file, 64 KiB.
    """
    packet = xmp_packet(source, model, version)
    segment = _JPEG_NAMESPACE + packet
    if len(segment) + 2 > _JPEG_MAX_SEGMENT:
        raise ValueError(
            f"the name and version of the model {model[:64]!r} are too long to be put into files"
        )
    text = _PNG_KEYWORD + b"\0\0\0\0" + packet  # not compressed; no language, no translated keyword
    return Mark(
        png=b"".join(
            (struct.pack(">I", len(text)), b"iTXt", text, struct.pack(">I", zlib.crc32(b"iTXt" + text)))
        ),
        jpeg=b"".join((b"\xff\xe1", struct.pack(">H", len(segment) + 2), segment)),
        webp=b"".join((b"XMP ", struct.pack("<I", len(packet)), packet, b"\0" * (len(packet) % 2))),
    )


def xmp_packet(source: DigitalSourceType, model: str, version: str) -> bytes:
    """The XMP packet of the images of a model, UTF-8: the same arguments always give the same bytes."""
    return _PACKET.format(
        tool=quoteattr(CREATOR_TOOL),
        source=quoteattr(source.uri),
        system=_attribute(model),
        version=_attribute(version),
    ).encode()


def _attribute(value: str) -> str:
    """A value as XML writes it; what XML cannot hold at all becomes a replacement character."""
    return quoteattr(_NOT_IN_XML.sub("\ufffd", value))


def _webp_extended_header(kind: bytes, data: bytes) -> bytes:
    """The chunk VP8X for a file that has pixels only: it says their size again."""
    start = _WEBP_HEADER_BYTES + _WEBP_CHUNK_BYTES
    flags = _WEBP_XMP
    match kind:
        case b"VP8 ":  # a frame tag of 3 bytes, a start code of 3 bytes, then sizes of 14 bits
            width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, start + 6))
        case b"VP8L":  # a signature of 1 byte, then sizes of 14 bits, less one, and whether there is alpha
            bits = struct.unpack_from("<I", data, start + 1)[0]
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            flags |= _WEBP_ALPHA * (bits >> 28 & 1)
        case _:
            _refuse("WebP")
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"".join((b"VP8X", struct.pack("<II", 10, flags), sizes))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"not a {name} file as encoders write it")
