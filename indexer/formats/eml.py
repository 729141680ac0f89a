"""Mail: sender, recipients and date, then the text, including attached messages."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

from deformer_qa.indexer.formats import html
from deformer_qa.indexer.formats.builder import Pieces
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line

_PEOPLE = ("From", "To", "Cc")
_READ = frozenset({"text/plain", "text/html", "text/markdown", "text/enriched"})

_LONGEST_PARSED = 20_000  # characters of a field


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document: the subject as its heading, a line each for From, To, Cc and Date, then the text.

    If the text comes in several forms, the plain one is read, else the HTML one. Attached messages and texts follow,
    each under a heading; other attachments are named in the notes.
    """
    message = message_from_bytes(raw, policy=policy.default)
    if not message.keys():
        raise NotReadable("damaged mail: it has no header")
    mail = _Mail(limits)
    mail.read(message, 0)
    text, outline, _ = mail.pieces.finish()
    meta = {field.lower(): value for field in _PEOPLE if (value := header(message, field))}
    meta |= {"date": date} if (date := _date(message)) else {}
    subject = header(message, "Subject")
    meta |= {"subject": subject} if subject else {}
    return ParsedFile((ParsedDocument("", subject, text, outline, meta),), (), tuple(mail.notes))


class _Mail:
    """Collects the text of a message while walking through its parts."""

    def __init__(self, limits: FileLimits) -> None:
        self.pieces = Pieces()
        self.notes: list[str] = []
        self._deepest = limits.nesting

    def read(self, message: EmailMessage, depth: int) -> None:
        """Read a message with its header, the main one or an attached one."""
        if subject := header(message, "Subject"):
            self.pieces.heading(subject)
        lines = [f"{field}: {value}" for field in (*_PEOPLE, "Date") if (value := header(message, field))]
        self.pieces.add("\n".join(lines))
        self._read_part(message, depth)

    def _read_part(self, part: EmailMessage, depth: int) -> None:
        if depth > self._deepest:
            raise NotReadable(f"parts nested more than {self._deepest:,} deep (--max-nesting)", "limit")
        parts = [one for one in part.iter_parts() if isinstance(one, EmailMessage)] if part.is_multipart() else []
        kind = part.get_content_type()
        if kind == "message/rfc822":
            for one in parts:
                self.read(one, depth + 1)
        elif kind == "multipart/alternative":
            self._read_part(_best_form(parts), depth + 1) if parts else None
        elif part.is_multipart():
            for one in parts:
                self._read_part(one, depth + 1)
        elif kind in _READ or kind.startswith("multipart/"):  # a multipart that cannot be split into its parts
            self._read_text(part, kind)
        else:
            self._note(part, kind)

    def _read_text(self, part: EmailMessage, kind: str) -> None:
        try:
            content = part.get_payload(decode=True)
            source = html.decode_stated(content if isinstance(content, bytes) else b"", _charset(part), self.notes)
            _, text, outline = html.read(source) if kind == "text/html" else ("", source, ())
        except NotReadable as reason:
            self.notes.append(f"a part of it ({kind}) is not read: {reason}")
            return
        if name := _filename(part):
            self.pieces.heading(name)
        self.pieces.add(text.replace("\r\n", "\n"), outline if "\r" not in text else ())

    def _note(self, part: EmailMessage, kind: str) -> None:
        name = _filename(part)
        if name or not kind.startswith("image/"):  # an image without a name is part of the page
            self.notes.append(f"attachment {name[:100]} is not read" if name else f"a part of it ({kind}) is not read")


def header(message: EmailMessage, field: str) -> str:
    """A field of the header on one line, '' if missing. A malformed field is taken as it stands."""
    value = next((str(value) for name, value in message.raw_items() if name.lower() == field.lower()), "")
    if len(value) > _LONGEST_PARSED:  # a list of thousands of addresses takes the parser minutes
        return one_line(value)
    try:
        return one_line(str(message[field] or ""))
    except Exception:  # the parsers of addresses and dates fail on some malformed headers
        return one_line(value)


def _best_form(parts: list[EmailMessage]) -> EmailMessage:
    """The plain text, if not empty, else the last form, which by convention is the best."""
    for part in parts:
        content = part.get_payload(decode=True) if part.get_content_type() == "text/plain" else None
        if isinstance(content, bytes) and content.strip():
            return part
    others = [part for part in parts if part.is_multipart() or part.get_content_type() in _READ]
    return (others or parts)[-1]


def _date(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(header(message, "Date")).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _charset(part: EmailMessage) -> str:
    try:
        return part.get_content_charset() or ""
    except Exception:
        return ""


def _filename(part: EmailMessage) -> str:
    try:
        return one_line(part.get_filename() or "")
    except Exception:
        return ""
