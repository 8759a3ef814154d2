"""Whether kube-proxy counts as well. How it is asked is seen in the lab."""

import pytest

from baremetal_lb.speaker.proxy_check import ProxyHealth

YES, NO = True, False


@pytest.mark.parametrize(
    ("answers", "answers_now", "news"),
    [
        pytest.param([], True, 0, id="before the first question"),
        pytest.param([YES], True, 0, id="it answers"),
        pytest.param([NO], False, 1, id="it never answered: one miss is enough"),
        pytest.param([YES, NO, NO], True, 0, id="two misses are none"),
        pytest.param([YES, NO, NO, NO], False, 1, id="three are enough"),
        pytest.param([YES, NO, NO, YES, NO, NO], True, 0, id="an answer in between makes good"),
        pytest.param([YES, NO, NO, NO, NO, YES], True, 2, id="one answer is enough to be back"),
    ],
)
def test_what_the_answers_say(answers: list[bool], answers_now: bool, news: int) -> None:
    """[D52]"""
    health = ProxyHealth()
    assert sum(health.asked(answered=one) for one in answers) == news
    assert health.answers is answers_now
