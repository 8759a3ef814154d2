"""An explanation as text for people, and as JSON for programs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from baremetal_lb.allocator.allocate import Allocation
from baremetal_lb.allocator.explain import Explanation, FamilyExplanation, Neighbour, Origin
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.allocator.sharing import Sharing
from baremetal_lb.cli.announcing import Announcing
from baremetal_lb.cluster.service import ServiceView
from baremetal_lb.config.problems import Problem

MARK, NO_MARK = "  > ", "    "
INDENT = " " * 8
WIDEST_COLUMN = 24
Rows = Iterable[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found out: the explanation, the resources that are not in force, and what could not be read."""

    explanation: Explanation
    faults: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    announcing: tuple[Announcing, ...] | None = ()
    """Who announces each address; None where that can't be known."""

    @property
    def is_all_well(self) -> bool:
        """Whether the Service has all that it asks for, and it is announced as far as we know."""
        return self.explanation.is_served and all(one.report.has_begun for one in self.announcing or ())


def print_answer(answer: Answer, console: Console) -> None:
    """Write it for people, in as many columns as the terminal has."""
    explanation = answer.explanation
    head, message = _headline(explanation)
    console.print(Text.assemble("Service ", (str(explanation.view.key), "bold"), ": ", (head, "bold")))
    _print_rows(console, [("", message)])
    _print_section(console, "It asks for", _wishes(explanation))
    _print_section(console, "It has", _possessions(explanation))
    for family in explanation.families:
        rows = [(one.pool, one.reason, one.message) for one in family.verdicts]
        taken = [place for place, one in enumerate(family.verdicts) if one.is_taken]
        title = f"{family.family}: the pools, in the order in which they are tried"
        _print_section(console, title, rows or [("there is none in force",)], taken)
    for one in answer.announcing or ():
        address, parts = one.report.address, list(_parts(one))
        marked = [place for place, (node, _, _) in enumerate(parts) if node == one.report.explanation.decision.holder]
        _print_section(console, f"{address}: {_announcement(one)}", parts or [("there is no node",)], marked)
    _print_section(console, "Not in force", ((one.kind, one.name, one.reason, one.message) for one in answer.faults))
    _print_section(console, "Not known", ((note,) for note in answer.notes))


def as_json(answer: Answer) -> dict[str, Any]:
    """Write it for programs."""
    explanation, outcome = answer.explanation, answer.explanation.outcome
    return {
        "service": str(explanation.view.key),
        "served": explanation.is_served,
        "outcome": _as_reason(outcome) if outcome else {"reason": None, "message": _silence(explanation.view)},
        "addresses": list(map(str, outcome.addresses)) if isinstance(outcome, Allocation) else [],
        "asksFor": _wishes_as_json(explanation),
        "has": [_origin_as_json(origin) for origin in explanation.has],
        "families": [_family_as_json(family) for family in explanation.families],
        "announcing": None if answer.announcing is None else list(map(_announcing_as_json, answer.announcing)),
        "neighbours": [_neighbour_as_json(neighbour) for neighbour in explanation.neighbours],
        "notInForce": [
            {"kind": one.kind, "name": one.name, "reason": one.reason, "message": one.message} for one in answer.faults
        ],
        "notKnown": list(answer.notes),
    }


def _print_section(console: Console, title: str, rows: Rows, marked: Collection[int] = ()) -> None:
    listed = list(rows)
    if listed:
        console.print()
        console.print(Text(title, style="bold"))
        _print_rows(console, listed, marked)


def _print_rows(console: Console, rows: list[tuple[str, ...]], marked: Collection[int] = ()) -> None:
    """Write all but the last cells as columns; a name that is too long for its column pushes the rest aside."""
    columns = [[len(cell) for cell in column if len(cell) <= WIDEST_COLUMN] for column in zip(*rows, strict=True)]
    widths = [max(lengths, default=0) for lengths in columns[:-1]]
    for place, row in enumerate(rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        mark = MARK if place in marked else NO_MARK
        text = "  ".join(cell for cell in (*cells, row[-1]) if cell)
        lines = wrap(text, console.width, initial_indent=mark, subsequent_indent=INDENT, break_on_hyphens=False)
        console.print(Text("\n".join(lines), style="bold" if place in marked else ""))


def _headline(explanation: Explanation) -> tuple[str, str]:
    if explanation.outcome is None:
        return "left alone", _silence(explanation.view)
    return explanation.outcome.reason, explanation.outcome.message


def _silence(view: ServiceView) -> str:
    """Say why nothing is decided on a Service."""
    if not view.is_load_balancer:
        return "it is not of type LoadBalancer"
    if view.deleting:
        return "it is being deleted"
    return f"no pool serves its loadBalancerClass {view.load_balancer_class}; it is left to whoever does"


def _wishes(explanation: Explanation) -> Iterator[tuple[str, str]]:
    request = explanation.request
    if isinstance(request, Refusal):
        return
    yield "families", f"{_joined(request.families)} ({explanation.view.family_policy})"
    if addresses := [address for some in request.wanted.values() for address in some]:
        yield "addresses", _joined(addresses)
    if request.pool is not None:
        yield "pool", request.pool
    if request.load_balancer_class is not None:
        yield "class", request.load_balancer_class
    if request.sharing.key:
        yield "sharing", _sharing_text(request.sharing)
    if claimed := _claimed(explanation):
        yield "claims", f"{_joined(claimed)} (kept for it)"


def _sharing_text(sharing: Sharing) -> str:
    partners = f", also with namespaces {_joined(sorted(sharing.partners))}" if sharing.partners else ""
    return f"key {sharing.key}{partners}"


def _possessions(explanation: Explanation) -> Iterator[tuple[str, str]]:
    for origin in explanation.has:
        yield str(origin.address), _origin_text(origin)
    for address in _missing(explanation):
        yield str(address), "not in its status yet; if it stays so, see whether the controller runs"
    for one in explanation.neighbours:
        why = f": {one.obstacle}" if one.obstacle else ""
        yield str(one.address), f"{'held by' if one.obstacle else 'shared with'} Service {one.service}{why}"
    if not explanation.has and not _missing(explanation):
        yield "no address", ""


def _announcement(one: Announcing) -> str:
    holder, report = one.report.explanation.decision.holder, one.report
    if report.has_begun:
        return f"announced by {holder}"
    return f"not announced ({report.reason})"


def _parts(one: Announcing) -> Iterator[tuple[str, str, str]]:
    """Each node with its reason, and what more there is to say."""
    report, successors = one.report, one.successors
    for node, reason in sorted(report.explanation.nodes.items()):
        if node == report.explanation.decision.holder:
            yield node, reason, _holding(one)
        elif node in successors:
            yield node, reason, f"follows as number {successors.index(node) + 1}"
        else:
            yield node, reason, ""


def _holding(one: Announcing) -> str:
    report = one.report
    where = f"on {_joined(sorted(report.explanation.decision.interfaces))} since {one.since}"
    return "; ".join(part for part in (where if report.has_begun else "has not begun", report.conflict) if part)


def _missing(explanation: Explanation) -> list[object]:
    outcome = explanation.outcome
    given = outcome.addresses if isinstance(outcome, Allocation) else ()
    return [address for address in given if address not in explanation.view.ingress]


def _origin_text(origin: Origin) -> str:
    if not origin.pool:
        return "in no pool"
    return f"from pool {origin.pool}" + ("" if origin.is_there else ", which does not have it any more")


def _claimed(explanation: Explanation) -> list[object]:
    return [address for family in explanation.families for address in family.claimed]


def _as_reason(one: Allocation | Refusal) -> dict[str, str]:
    return {"reason": one.reason, "message": one.message}


def _wishes_as_json(explanation: Explanation) -> Mapping[str, Any] | None:
    request = explanation.request
    if not isinstance(request, AllocationRequest):
        return None
    return {
        "families": list(request.families),
        "familyPolicy": explanation.view.family_policy,
        "addresses": [str(address) for some in request.wanted.values() for address in some],
        "pool": request.pool,
        "loadBalancerClass": request.load_balancer_class,
        "sharingKey": request.sharing.key or None,
        "sharingNamespaces": sorted(request.sharing.partners),
        "claimed": list(map(str, _claimed(explanation))),
    }


def _origin_as_json(origin: Origin) -> Mapping[str, Any]:
    return {"address": str(origin.address), "pool": origin.pool or None, "poolHasIt": origin.is_there}


def _announcing_as_json(one: Announcing) -> Mapping[str, Any]:
    report, decision = one.report, one.report.explanation.decision
    return {
        "address": str(report.address),
        "announced": report.has_begun,
        "reason": report.reason,
        "holder": decision.holder,
        "since": one.since or None,
        "interfaces": sorted(decision.interfaces),
        "conflict": report.conflict or None,
        "successors": list(one.successors),
        "nodes": [{"node": node, "reason": reason} for node, reason in sorted(report.explanation.nodes.items())],
    }


def _neighbour_as_json(neighbour: Neighbour) -> Mapping[str, Any]:
    return {
        "address": str(neighbour.address),
        "service": str(neighbour.service),
        "shared": neighbour.obstacle is None,
        "obstacle": neighbour.obstacle,
    }


def _family_as_json(family: FamilyExplanation) -> Mapping[str, Any]:
    return {
        "family": family.family,
        "addresses": list(map(str, family.addresses)),
        "refusal": _as_reason(family.refusal) if family.refusal else None,
        "pools": [
            {"pool": one.pool, "taken": one.is_taken, "reason": one.reason, "message": one.message}
            for one in family.verdicts
        ],
    }


def _joined(things: Iterable[object]) -> str:
    return " and ".join(map(str, things))
