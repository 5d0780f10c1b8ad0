"""Sending e-mail by SMTP, with the standard library's client in a thread."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

TIMEOUT_SECONDS = 30.0


class MailRefused(Exception):
    """The server will never take this message."""


class MailUnavailable(Exception):
    """No usable answer, or a temporary refusal: the message may be sent later, and may have been sent."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """`is_tls` from the start; otherwise STARTTLS is used where the server offers it, and must be with a password."""

    host: str
    port: int
    is_tls: bool
    user: str
    password: str = field(repr=False)
    sender: str

    @classmethod
    def parsed(cls, url: str, sender: str) -> "MailServer":
        """`url` is smtp://[user:password@]host[:port], or smtps:// with TLS from the start. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or "@" not in sender:
            raise ValueError("not an SMTP server's URL, or no sender's address")
        is_tls = parts.scheme == "smtps"
        port = parts.port or (465 if is_tls else 587)
        return cls(parts.hostname, port, is_tls, unquote(parts.username or ""), unquote(parts.password or ""), sender)

    async def send(self, message: EmailMessage) -> None:
        """Raises MailRefused and MailUnavailable."""
        await asyncio.to_thread(self._send, message)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connection() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refusal(code, text) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            raise MailRefused(str(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable(repr(error)) from error

    def _connection(self) -> smtplib.SMTP:
        if self.is_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
            server.ehlo()
            if server.has_extn("starttls") or self.user:
                server.starttls(context=ssl.create_default_context())
        if self.user:
            server.login(self.user, self.password)
        return server


def _refusal(code: int, text: bytes | str) -> MailRefused | MailUnavailable:
    said = f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return MailRefused(said) if code >= 500 else MailUnavailable(said)
