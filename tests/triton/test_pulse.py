"""What calls in flight, and answers, say about whether Triton is alive."""

from __future__ import annotations

import asyncio

from fovea_server.triton.pulse import Pulse


async def test_silence_is_as_old_as_the_oldest_call_that_waits_and_ends_with_any_answer() -> None:
    pulse = Pulse()
    assert pulse.silence() == 0
    with pulse.flight(["a"], lambda why: None):
        await asyncio.sleep(0.1)
        with pulse.flight(["b"], lambda why: None) as other:
            assert pulse.silence() >= 0.1
            assert pulse.waited_for() == {"a", "b"}
            pulse.answered(other)
        assert pulse.silence() < 0.1
    assert pulse.silence() == 0


async def test_callers_who_give_up_at_once_are_no_proof_of_silence() -> None:
    pulse = Pulse()
    for _ in range(20):
        with pulse.flight(["a"], lambda why: None):
            await asyncio.sleep(0.01)
            assert pulse.silence() < 0.1


async def test_a_model_stalls_while_others_answer() -> None:
    pulse = Pulse()
    with pulse.flight(["shared", "a"], lambda why: None), pulse.flight(["shared", "b"], lambda why: None) as answered:
        await asyncio.sleep(0.05)
        pulse.answered(answered)
    assert pulse.stalled(0.05) == {"a"}
    pulse.cut_off(["a"], "it hung")
    assert pulse.stalled(0) == set()


async def test_a_call_that_a_much_later_one_overtook_is_told() -> None:
    pulse = Pulse()
    with pulse.flight(["whole"], lambda why: None) as first:
        await asyncio.sleep(0.1)
        with pulse.flight(["whole"], lambda why: None) as later, pulse.flight(["other"], lambda why: None):
            assert pulse.overtaken(0.05) == set()
            pulse.answered(later)
            assert pulse.overtaken(0.05) == {first}
            assert pulse.overtaken(1) == set()
    assert pulse.overtaken(0) == set()


async def test_of_calls_that_take_several_models_none_overtakes_another() -> None:
    pulse = Pulse()
    with pulse.flight(["shared", "slow"], lambda why: None):
        await asyncio.sleep(0.05)
        with pulse.flight(["shared", "quick"], lambda why: None) as later:
            pulse.answered(later)
        assert pulse.overtaken(0.01) == set()
