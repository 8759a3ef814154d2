"""The one vocabulary of decisions: Events, conditions, metrics, logs, the CLI and the docs all use these words.

A reason is a state that a user understands, never the name of a code path.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is. The comment behind a word says what follows from it."""

    # an address for a Service (controller)
    ASSIGNED = "Assigned"
    ADDRESS_KEPT = "AddressKept"
    FOREIGN_ADDRESS = "ForeignAddress"
    NO_POOLS = "NoPools"
    POOL_EXHAUSTED = "PoolExhausted"
    NO_POOL_FOR_FAMILY = "NoPoolForFamily"
    NO_POOL_AUTO_ASSIGNS = "NoPoolAutoAssigns"
    ADDRESS_NOT_IN_ANY_POOL = "AddressNotInAnyPool"
    ADDRESS_NOT_USABLE = "AddressNotUsable"
    ADDRESS_IN_USE = "AddressInUse"
    INVALID_REQUEST = "InvalidRequest"
    CONTRADICTORY_REQUEST = "ContradictoryRequest"
    FAMILY_MISMATCH = "FamilyMismatch"
    POOL_NOT_FOUND = "PoolNotFound"
    POOL_BEING_DELETED = "PoolBeingDeleted"
    POOL_NOT_NAMED = "PoolNotNamed"
    COULD_SERVE = "CouldServe"
    POOL_NOT_PERMITTED = "PoolNotPermitted"
    POOL_OF_OTHER_CLASS = "PoolOfOtherClass"
    NOT_EXCLUSIVE = "NotExclusive"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SHARING_REFUSED = "SharingRefused"
    ADDRESS_RESERVED = "AddressReserved"
    ADDRESS_QUARANTINED = "AddressQuarantined"
    REASSIGNED = "Reassigned"
    LEADER_CHANGED = "LeaderChanged"
    PENDING_CLUSTER_IP = "PendingClusterIP"
    RELEASED = "Released"

    # a custom resource
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    CONFLICT = "Conflict"
    OVERLAPPING_ENTRIES = "OverlappingEntries"
    OVERLAPS_CLUSTER = "OverlapsCluster"
    UNKNOWN_POOL = "UnknownPool"
    NO_POOL_SELECTED = "NoPoolSelected"

    # an IPAddressClaim (controller)
    RESERVED = "Reserved"
    BOUND = "Bound"
    HELD_BY_ANOTHER = "HeldByAnother"

    # announcing an address from a node (speaker)
    ANNOUNCED = "Announced"
    ELECTED = "Elected"
    NOT_ELECTED = "NotElected"
    NO_ADVERTISEMENT = "NoAdvertisement"
    NODE_NOT_SELECTED = "NodeNotSelected"
    NODE_EXCLUDED = "NodeExcluded"
    NODE_NETWORK_UNAVAILABLE = "NodeNetworkUnavailable"
    NODE_OUT_OF_SERVICE = "NodeOutOfService"
    NODE_NOT_READY = "NodeNotReady"
    NODE_LEAVING = "NodeLeaving"
    NODE_CORDONED = "NodeCordoned"
    PROXY_NOT_ANSWERING = "ProxyNotAnswering"
    NODE_GONE = "NodeGone"
    SPEAKER_NOT_ALIVE = "SpeakerNotAlive"
    NO_ENDPOINT = "NoEndpoint"
    NO_LOCAL_ENDPOINT = "NoLocalEndpoint"
    NO_ELIGIBLE_NODE = "NoEligibleNode"
    NO_INTERFACE = "NoInterface"
    NOT_ON_SEGMENT = "NotOnSegment"

    # a host that is none of ours uses an address of ours (speaker, and the controller of a pool)
    ADDRESS_CONFLICT = "AddressConflict"
    CONFLICT_ENDED = "ConflictEnded"

    # an interface that cannot carry announcements (speaker)
    INTERFACE_DOWN = "InterfaceDown"
    INTERFACE_IS_LOOPBACK = "InterfaceIsLoopback"
    INTERFACE_IS_PORT = "InterfaceIsPort"
    INTERFACE_WITHOUT_ARP = "InterfaceWithoutARP"
    INTERFACE_WITHOUT_MAC = "InterfaceWithoutMAC"
