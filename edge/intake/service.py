"""Takes in what pages and servers report, below `/_/`: visits, clicks on elements, conversions.

Like a redirect, a report is one synchronous step without I/O as long as its project is in memory: read,
judge, into the journal, answer. So each kind of request is a generator that asks for the projects and
keys that it needs: `answer` fills them in from memory, `answer_later` from Redis. Nothing is written
down before the last of them is known.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from edge.contract.events import Conversion, PageClick, Visit
from edge.counters import Counter
from edge.directory import STALE, DirectoryUnavailableError
from edge.intake import answers
from edge.intake.answers import Refusal, make_fault, refuse_faults
from edge.intake.credentials import Credential, allows, refuse_invalid
from edge.intake.fields import URL_LENGTH, Fields
from edge.intake.parameters import decode_json, read_parameters, read_query
from edge.intake.postback import Postback
from edge.intake.reports import identify_reporter, read_event, read_page_click, read_visit
from edge.journal import JournalFullError
from edge.visitors import encode_any_text

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from uuid_utils import UUID

    from edge.contract.intake_record import IntakeKeyRecord, ProjectRecord
    from edge.directory import Directory, Remembered
    from edge.intake.reports import Reporter
    from edge.intake.tag import Tag
    from edge.journal import Journal
    from edge.request import EdgeRequest, EdgeResponse
    from edge.visitors import Visitors

MOST_REPORTS: Final = 50
"""In one body: what a page could not send while it was offline."""

Question: TypeAlias = bytes | str
"""A project's id, or an API key."""
Work: TypeAlias = "Generator[Question, ProjectRecord | IntakeKeyRecord | None, EdgeResponse]"
Read: TypeAlias = Callable[..., Visit | PageClick | Conversion]

_BEACONS: Final[dict[str, Read]] = {
    "/_/visit": read_visit,
    "/_/click": read_page_click,
    "/_/event": read_event,
}
_REFUSED: Final = {
    400: Counter.REPORTS_MALFORMED,
    405: Counter.REPORTS_MALFORMED,
    401: Counter.REPORTS_FORBIDDEN,
    403: Counter.REPORTS_FORBIDDEN,
    404: Counter.REPORTS_UNKNOWN,
}
_COUNTED: Final = {
    Visit: int(Counter.VISITS),
    PageClick: int(Counter.PAGE_CLICKS),
    Conversion: int(Counter.CONVERSIONS),
}


class Intake:
    """One worker's intake. `now_ms`: Unix time. `new_id` gives UUIDv7.

    `wait_for_disk`: what accepted reports wait for before they are answered, None for nothing; it tells
    whether the disk took them.
    """

    def __init__(  # noqa: PLR0913  the parts of a worker, put together in one place (worker.py)
        self,
        *,
        directory: Directory,
        journal: Journal,
        visitors: Visitors,
        tag: Tag,
        new_id: Callable[[], UUID],
        now_ms: Callable[[], int],
        wait_for_disk: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._visitors = visitors
        self._tag = tag
        self._new_id = new_id
        self._now_ms = now_ms
        self._wait_for_disk = wait_for_disk
        self._count = journal.counters.values
        self._recorded = 0

    def answer(self, request: EdgeRequest) -> EdgeResponse | None:
        """Answer at once; None when Redis has to be asked, or when nothing here has that path."""
        if request.path == "/_/tag.js" and request.method in ("GET", "HEAD"):
            return self._tag.answer(request)
        work = self._begin(request)
        if work is None:
            return None
        try:
            question = next(work)
            while True:
                found = self._recall(question)
                if found is STALE:
                    work.close()
                    return None
                question = work.send(found)
        except StopIteration as done:
            return cast("EdgeResponse", done.value)
        except Refusal as refusal:
            return self._refuse(refusal)

    async def answer_later(self, request: EdgeRequest) -> EdgeResponse | None:
        """Answer when Redis or the disk may have to be waited for; None when nothing here has that path."""
        recorded = self._recorded
        response = self.answer(request)
        if response is None:
            work = self._begin(request)
            if work is None:
                return None
            response = await self._work(work)
        if self._wait_for_disk is not None and self._recorded > recorded and not await self._wait_for_disk():
            return self._refuse(answers.refuse_unrecorded())
        return response

    async def _work(self, work: Work) -> EdgeResponse:
        try:
            question = next(work)
            while True:
                if isinstance(question, bytes):
                    question = work.send(await self._directory.find_project(question))
                else:
                    question = work.send(await self._directory.find_key(question))
        except StopIteration as done:
            return cast("EdgeResponse", done.value)
        except DirectoryUnavailableError:
            return self._refuse(answers.refuse_unavailable())
        except Refusal as refusal:
            return self._refuse(refusal)

    def _recall(self, question: Question) -> Remembered[ProjectRecord] | Remembered[IntakeKeyRecord]:
        if isinstance(question, bytes):
            return self._directory.known_project(question)
        return self._directory.known_key(question)

    def _begin(self, request: EdgeRequest) -> Work | None:
        path, method = request.path, request.method
        read = _BEACONS.get(path)
        if read is not None:
            if method == "POST":
                return self._take_beacon(request, read)
            return _preflight() if method == "OPTIONS" else _refuse_method("POST, OPTIONS")
        if path == "/_/pixel.gif":
            return self._take_pixel(request) if method in ("GET", "HEAD") else _refuse_method("GET, HEAD")
        if path == "/_/postback":
            return self._take_postback(request) if method in ("GET", "POST") else _refuse_method("GET, POST")
        return None

    # --- pages -------------------------------------------------------------------------------

    def _take_beacon(self, request: EdgeRequest, read: Read) -> Work:
        given = decode_json(request.body)
        if isinstance(given, list):
            return (yield from self._take_list(request, given, read))
        fields = _expect_object(given)
        project = yield from _find_project(fields)
        event = read(fields, project, self._identify(request))
        self._record(event)
        return answers.answer_visit(_format_id(event.id)) if isinstance(event, Visit) else answers.ACCEPTED

    def _take_list(self, request: EdgeRequest, given: list[object], read: Read) -> Work:
        """Take reports that a page has gathered: one result for each, in their order."""
        if not 0 < len(given) <= MOST_REPORTS:
            raise refuse_faults([make_fault("body", f"must have 1 to {MOST_REPORTS} reports", len(given))])
        found: list[tuple[Fields, ProjectRecord] | Refusal] = []
        for item in given:
            try:
                fields = _expect_object(item)
                found.append((fields, (yield from _find_project(fields))))
            except Refusal as refusal:
                found.append(refusal)
        by, results, refusals = self._identify(request), list[dict[str, object]](), list[Refusal]()
        for item in found:
            try:
                if isinstance(item, Refusal):
                    raise item
                event = read(*item, by, in_list=True)
            except Refusal as error:
                refusals.append(error)
                results.append({"error": error.describe()})
                continue
            self._record(event)
            is_visit = isinstance(event, Visit)
            results.append({"visit_id": _format_id(event.id)} if is_visit else {"status": "accepted"})
        for refused in refusals:
            self._count_refusal(refused)
        if len(refusals) == len(results):
            return answers.answer_json(refusals[0].status, {"results": results})
        return answers.answer_json(200 if read is read_visit else 202, {"results": results})

    def _take_pixel(self, request: EdgeRequest) -> Work:
        if request.method == "HEAD":
            return answers.PIXEL
        given: dict[str, object] = dict(reversed(read_query(request.query)))
        fields = Fields(given)
        project = yield from _find_project(fields)
        by = self._identify(request)
        if given.get("event", "visit") == "visit":
            given.pop("visit_id", None)  # a page without scripts cannot make one
            if not fields.text("url", URL_LENGTH):
                given["url"] = by.referrer
            self._record(read_visit(fields, project, by))
        else:
            self._record(read_event(fields, project, by))
        return answers.PIXEL

    # --- servers -----------------------------------------------------------------------------

    def _take_postback(self, request: EdgeRequest) -> Work:
        postback = Postback(read_parameters(request))
        authorization = request.headers.get("authorization") or ""
        credential = Credential(postback.given, authorization, postback.pairs)
        project = cast("ProjectRecord | None", (yield postback.project_id))
        by = self._identify(request)
        if project is None or not credential.is_of_project(project, by.now_ms):
            key = None
            if credential.secret and not credential.signature:
                key = cast("IntakeKeyRecord | None", (yield credential.secret))
            if key is None or not allows(key, by.ip, by.now_ms):
                raise refuse_invalid()
            if project is None or project.tenant_id != key.tenant_id:
                raise _no_project(postback.given["project"])
        _expect_active(project)
        conversion, event = postback.read(project, by)
        self._record(conversion)
        said = {"status": "accepted", "event": event, "external_id": conversion.external_id}
        return answers.answer_json(200, said)

    # --- all of them -------------------------------------------------------------------------

    def _identify(self, request: EdgeRequest) -> Reporter:
        return identify_reporter(request, self._visitors, self._now_ms(), self._new_id)

    def _record(self, event: Visit | PageClick | Conversion) -> None:
        """Write an event down, and count it. Raises Refusal when the journal is full."""
        try:
            self._journal.append(encode_any_text(event))
        except JournalFullError:
            raise answers.refuse_unrecorded() from None
        self._recorded += 1
        self._count[_COUNTED[type(event)]] += 1

    def _refuse(self, refusal: Refusal) -> EdgeResponse:
        self._count_refusal(refusal)
        return refusal.answer()

    def _count_refusal(self, refusal: Refusal) -> None:
        if refusal.code == "journal_full":
            self._count[Counter.JOURNAL_FULL] += 1
        else:
            self._count[_REFUSED.get(refusal.status, Counter.REPORTS_UNAVAILABLE)] += 1


def _find_project(
    fields: Fields,
) -> Generator[Question, ProjectRecord | IntakeKeyRecord | None, ProjectRecord]:
    """Find the project of a page's report, which must take reports. Raises Refusal."""
    project_id = fields.uuid("project")
    if not project_id and not fields.faults:
        fields.refuse("project", "is required")
    fields.check()
    project = cast("ProjectRecord | None", (yield project_id))
    if project is None:
        raise _no_project(fields.text("project"))
    _expect_active(project)
    return project


def _expect_active(project: ProjectRecord) -> None:
    if not project.is_active:
        raise Refusal(403, "forbidden", "This project is paused or archived: it takes no reports.")


def _no_project(project: str) -> Refusal:
    return Refusal(404, "not_found", faults=(make_fault("project", "must be a project", project),))


def _expect_object(given: object) -> Fields:
    if not isinstance(given, dict):
        raise refuse_faults([make_fault("body", "must be a JSON object, or a list of them")])
    return Fields(given)


def _format_id(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _preflight() -> Work:
    return answers.PREFLIGHT
    yield  # a generator like the others, that asks for nothing


def _refuse_method(allow: str) -> Work:
    raise Refusal(405, "method_not_allowed", f"This path answers {allow}.", allow=allow)
    yield  # see above
