"""The gateway obeys rules 2 to 5 as the simulator does: the same stories, and the same random scenarios."""

from __future__ import annotations

import pytest

from tests.live.serving import gateway_world
from tests.sim import oracle
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario, ways
from tests.sim.stories import STORIES, Seen, Story
from tests.sim.test_stories import in_oracle_format, log_of_the_oracle, told

EAGER = "eager dispatch is a way of simulating the published system; the gateway knows central dispatch alone"
APPLICABLE = [story for story in STORIES if story.dispatch == "central"]
NOT_APPLICABLE = [story for story in STORIES if story not in APPLICABLE]


def test_every_story_but_those_of_eager_dispatch_is_told() -> None:
    assert all("eager" in story.rule for story in NOT_APPLICABLE), EAGER


@pytest.mark.parametrize("story", APPLICABLE, ids=lambda story: f"{story.rule}: {story.name}")
def test_the_gateway_tells_the_story(story: Story) -> None:
    log = log_of_the_oracle(gateway_world.simulate(in_oracle_format(story)))
    assert log.batches == list(story.batches)
    assert log == told(story)


SEEING = [story for story in APPLICABLE if story.seen]


@pytest.mark.parametrize("story", SEEING, ids=lambda story: story.name)
def test_a_control_step_reads_from_the_gateways_counters_what_the_story_says(story: Story) -> None:
    world = gateway_world.GatewayWorld(in_oracle_format(story))
    seen: list[Seen] = []
    for time_s, _ in story.decisions:
        world.at_control_step(time_s, lambda now_s: seen.extend(world.seen(now_s)))
    world.run()
    before: dict[int, Seen] = {}
    for now, expected in zip(seen, story.seen, strict=True):
        earlier = before.get(now.stage, Seen(*(0,) * 10))
        assert replace_counts(now, earlier) == expected
        before[now.stage] = now


def replace_counts(now: Seen, earlier: Seen) -> Seen:
    """The gateway's counters only grow; a step reads differences."""
    return now._replace(
        arrivals=now.arrivals - earlier.arrivals,
        completions=now.completions - earlier.completions,
        drops=now.drops - earlier.drops,
    )


BLOCK = 25


@pytest.mark.parametrize("block", blocks(16))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
def test_the_gateway_equals_the_oracle(drop: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, dispatch="central", drop=drop, **ways(seed))
        expected = oracle.simulate(drawn)
        found = gateway_world.simulate(drawn)
        for key in ("end_s", "replicas", "requests"):
            assert found[key] == expected[key], f"seed {seed}: {key}"
