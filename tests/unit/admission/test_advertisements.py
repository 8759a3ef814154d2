"""An L2Advertisement that is about to be written: what is refused, what is only warned of."""

from typing import Any

from baremetal_lb.admission.advertisements import review_l2_advertisement
from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import Operation, Question, Verdict
from baremetal_lb.config.model import Config, Surroundings

Raw = dict[str, Any]
POOL = {"metadata": {"name": "gold"}, "spec": {"addresses": ["192.0.2.0/28"]}}


def advertisement(**spec: Any) -> Raw:
    return {"metadata": {"name": "all"}, "spec": spec}


def review(new: Raw | None, old: Raw | None = None) -> Verdict:
    operation = Operation.DELETE if new is None else Operation.UPDATE if old else Operation.CREATE
    known = Known()
    known.resources_changed(pools=[POOL], claims=(), config=Config(), surroundings=Surroundings())
    return review_l2_advertisement(Question(operation, old, new), known)


def test_one_of_pools_that_are_there_is_fine() -> None:
    assert review(advertisement(ipAddressPools=["gold"])) == Verdict()


def test_an_unknown_pool_is_warned_of_since_it_may_come() -> None:
    verdict = review(advertisement(ipAddressPools=["gold", "silver"]))

    assert verdict.denials == ()
    assert [str(one) for one in verdict.warnings] == [
        "UnknownPool: spec.ipAddressPools[1]: there is no pool silver; create it or remove the name"
    ]


def test_what_cannot_be_read_is_denied_once() -> None:
    invalid = advertisement(interfaces=["eth0/1"])

    assert "InvalidSpec: spec.interfaces[0]" in review(invalid).text
    assert review({**invalid, "spec": {**invalid["spec"], "ipAddressPools": ["gold"]}}, invalid).denials == ()


def test_deleting_one_is_nobody_elses_business() -> None:
    assert review(None, advertisement()) == Verdict()
