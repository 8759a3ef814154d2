"""The webhook's two sides: what is known lives in the process's own event loop, who asks comes from kopf's thread.

Question and answer cross over, and nothing else does. The webhook only helps: whatever keeps it from answering, the
object is written all the same, and the controller judges it when it sees it.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import ALLOWED, Question, Verdict
from baremetal_lb.admission.review import review

log = structlog.get_logger()


class ReplaceableCertificate:
    """A TLS context whose certificate is another one from one connection to the next, without a new start.

    The key exists in memory only: the file that Python's TLS insists on is one that no directory has.
    """

    def __init__(self) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.sni_callback = self._choose
        self.path = ""
        """Where the first one is, as soon as there is one; certificate and key in one file."""
        self._current = self.context

    def use(self, chain: bytes) -> None:
        """Serve this certificate with its key (PEM) from the next connection on."""
        file = os.memfd_create("webhook-certificate")
        os.write(file, chain)
        path = f"/proc/self/fd/{file}"
        fresh = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        fresh.load_cert_chain(path)
        self._current = fresh
        if self.path:
            os.close(file)
        else:
            self.path = path

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


@dataclass(frozen=True, slots=True)
class Webhook:
    """What kopf's thread needs to serve the webhook; `known` is called in `loop` only, and is None at the start."""

    port: int
    loop: asyncio.AbstractEventLoop
    known: Callable[[], Known | None]
    certificate: ReplaceableCertificate = field(default_factory=ReplaceableCertificate)

    async def review(self, plural: str, question: Question) -> Verdict:
        """Answer a question from any thread."""
        try:
            verdict = await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._review(plural, question), self.loop)
            )
        except Exception:  # our fault must not be the user's
            log.exception("question not answered", kind=plural, operation=question.operation)
            return ALLOWED
        if verdict.denials:
            log.info("denied", kind=plural, object=question.name, because=verdict.text)
        return verdict

    async def _review(self, plural: str, question: Question) -> Verdict:
        known = self.known()
        return review(plural, question, known) if known else ALLOWED
