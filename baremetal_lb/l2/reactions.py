"""What a node does when it hears others about an address that it wants: the table behind `takeover.py`."""

from enum import StrEnum, auto


class State(StrEnum):
    """How it stands between this node and an address."""

    WAITING = auto()
    """Its time has not come, or it has no interface for it."""
    ASKING = auto()
    """Asks the segment whether anybody has it, and does not answer for it yet."""
    DEFERRING = auto()
    """Another of ours has it, or asks for it as well. Looks again soon."""
    DISPUTED = auto()
    """A foreign host has it. Looks again, ever more seldom."""
    HOLDING = auto()
    """Answers for it."""
    CHECKING = auto()
    """Answers for it, and asks whether another of ours does so too: it was away for a moment."""
    HANDING_OVER = auto()
    """Answers until it hears that another of ours has begun."""
    OVER = auto()
    """Has nothing to do with it any more, or never had."""


HELD = frozenset({State.HOLDING, State.CHECKING, State.HANDING_OVER})
"""Where this node answers for the address."""

LOOKING = frozenset({State.ASKING, State.CHECKING})
"""Where this node asks for the address."""


class Heard(StrEnum):
    """What can be heard about an address. "Ours" is a speaker of this cluster, on another node."""

    ANSWER = auto()
    """One of ours says, to whoever asked, that it has it."""
    ANNOUNCEMENT = auto()
    """One of ours tells everybody that it has it."""
    REPLACED = auto()
    """The same, from a node that is giving it up to us."""
    PROBE = auto()
    """One of ours asks, because it wants to have it."""
    FOREIGN = auto()
    """A host that is none of ours says that it has it."""


class Reaction(StrEnum):
    """What to do about it."""

    IGNORE = auto()
    DEFER = auto()
    """Leave it to that node, and stop answering. Look again later."""
    NOTE_HOLDER = auto()
    NOTE_RIVAL = auto()
    """Remember who asks at the same time: of two, the one with the lower MAC goes on."""
    SETTLE = auto()
    """Defer if that node outranks us, else insist."""
    STEP_DOWN = auto()
    """Defer, whatever the rank: we were away, it was not."""
    INSIST = auto()
    """Announce once more, so that ours is the last word."""
    RESIST = auto()
    """Do as the address's policy says about foreign hosts."""
    DISPUTE = auto()
    """Keep off. Look again later."""
    END = auto()
    """It is handed over."""


REACTIONS: dict[tuple[State, Heard], Reaction] = {
    (State.WAITING, Heard.ANSWER): Reaction.DEFER,
    (State.WAITING, Heard.ANNOUNCEMENT): Reaction.DEFER,
    (State.WAITING, Heard.REPLACED): Reaction.IGNORE,
    (State.WAITING, Heard.PROBE): Reaction.IGNORE,
    (State.WAITING, Heard.FOREIGN): Reaction.IGNORE,
    (State.ASKING, Heard.ANSWER): Reaction.DEFER,
    (State.ASKING, Heard.ANNOUNCEMENT): Reaction.DEFER,
    (State.ASKING, Heard.REPLACED): Reaction.IGNORE,
    (State.ASKING, Heard.PROBE): Reaction.NOTE_RIVAL,
    (State.ASKING, Heard.FOREIGN): Reaction.DISPUTE,
    (State.DEFERRING, Heard.ANSWER): Reaction.NOTE_HOLDER,
    (State.DEFERRING, Heard.ANNOUNCEMENT): Reaction.NOTE_HOLDER,
    (State.DEFERRING, Heard.REPLACED): Reaction.IGNORE,
    (State.DEFERRING, Heard.PROBE): Reaction.IGNORE,
    (State.DEFERRING, Heard.FOREIGN): Reaction.IGNORE,
    (State.DISPUTED, Heard.ANSWER): Reaction.DEFER,
    (State.DISPUTED, Heard.ANNOUNCEMENT): Reaction.DEFER,
    (State.DISPUTED, Heard.REPLACED): Reaction.IGNORE,
    (State.DISPUTED, Heard.PROBE): Reaction.IGNORE,
    (State.DISPUTED, Heard.FOREIGN): Reaction.IGNORE,
    (State.HOLDING, Heard.ANSWER): Reaction.SETTLE,
    (State.HOLDING, Heard.ANNOUNCEMENT): Reaction.SETTLE,
    (State.HOLDING, Heard.REPLACED): Reaction.INSIST,
    (State.HOLDING, Heard.PROBE): Reaction.INSIST,
    (State.HOLDING, Heard.FOREIGN): Reaction.RESIST,
    (State.CHECKING, Heard.ANSWER): Reaction.STEP_DOWN,
    (State.CHECKING, Heard.ANNOUNCEMENT): Reaction.STEP_DOWN,
    (State.CHECKING, Heard.REPLACED): Reaction.INSIST,
    (State.CHECKING, Heard.PROBE): Reaction.IGNORE,
    (State.CHECKING, Heard.FOREIGN): Reaction.RESIST,
    (State.HANDING_OVER, Heard.ANSWER): Reaction.IGNORE,
    (State.HANDING_OVER, Heard.ANNOUNCEMENT): Reaction.END,
    (State.HANDING_OVER, Heard.REPLACED): Reaction.IGNORE,
    (State.HANDING_OVER, Heard.PROBE): Reaction.IGNORE,
    (State.HANDING_OVER, Heard.FOREIGN): Reaction.IGNORE,
    **{(State.OVER, heard): Reaction.IGNORE for heard in Heard},
}
