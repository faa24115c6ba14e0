"""A policy that is learned in the Gymnasium environment, beside IPA in the same episodes.

    python studies/examples/learn.py --generations 15

It learns by the cross-entropy method (Rubinstein, 1999), which needs only numpy: draw weights from a normal
distribution, run an episode with each, and fit the distribution to the best ones. The policy is small: for each stage
one variant, one batch size, and replicas that follow the load of the last 10 s, its rise, and the queue. It learns on
episodes with even seeds; both policies are judged on odd ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from ipa import profiles
from ipa.policies import Configuration, Policy, create
from ipa.studies import Scenario
from ipa.studies.many import environment

ELITE_SHARE = 0.25
OF_REPLICAS = 4
"""Replicas = weights . (1, load, rise of the load, queue), loads in tens of requests per second, queues in tens."""

Decide = Callable[[environment.ControlLoop], Configuration]


def learned(weights: np.ndarray) -> Decide:
    """The policy with these weights: for each stage the scores of variants and batch sizes, then `OF_REPLICAS` more."""

    def decide(loop: environment.ControlLoop) -> Configuration:
        load = np.nan_to_num(np.array(loop.seen.load_rps[-20:])).reshape(2, 10).mean(axis=1) / 10
        action: list[int] = []
        rest = weights
        for stage in loop.encoding.pipeline.stages:
            scores, rest = np.split(rest, [len(stage.variants)])
            batches, rest = np.split(rest, [len(loop.encoding.batches)])
            of_replicas, rest = np.split(rest, [OF_REPLICAS])
            queue = loop.seen.stages[stage.name].queue_length / 10
            replicas_needed = of_replicas @ np.array([1.0, load[1], load[1] - load[0], queue])
            replicas = int(np.clip(np.ceil(replicas_needed), 1, loop.encoding.most_replicas))
            action += [int(scores.argmax()), int(batches.argmax()), replicas - 1]
        return loop.encoding.configuration(action, 10 * load[1])

    return decide


def of_policy(policy: Policy) -> Decide:
    """A policy without memory, such as `ipa`, as a function for the same episodes."""
    return lambda loop: policy.decide(loop.seen, {}).configuration


def episode(loop: environment.ControlLoop, decide: Decide, seed: int) -> tuple[float, float, float, float]:
    """The sum of rewards, the share of violations [%], the mean cores and PAS of an episode."""
    _, info = loop.reset(seed=seed)
    total, steps, ended = 0.0, [info], False
    while not ended:
        _, reward, ended, _, info = loop.decide(decide(loop))
        total += reward
        steps.append(info)
    violations, arrivals = (sum(step[key] for step in steps) for key in ("violations", "arrivals"))
    cores, pas = (float(np.mean([step[key] for step in steps[1:]])) for key in ("cores", "pas"))
    return total, 100 * violations / max(1, arrivals), cores, 100 * pas


def learn(loop: environment.ControlLoop, generations: int, drawn: int, seed: int) -> np.ndarray:
    """The weights after `generations` of `drawn` episodes each."""
    sizes = [len(stage.variants) + len(loop.encoding.batches) for stage in loop.encoding.pipeline.stages]
    mean = np.concatenate([np.concatenate([np.zeros(size), [1.0, 1.0, 0.0, 0.0]]) for size in sizes])
    spread = np.ones_like(mean)
    rng = np.random.default_rng(seed)
    for generation in range(generations):
        tried = mean + spread * rng.standard_normal((drawn, len(mean)))
        totals = np.array([episode(loop, learned(weights), 2 * generation)[0] for weights in tried])
        best = tried[np.argsort(-totals)[: max(2, int(ELITE_SHARE * drawn))]]
        mean, spread = best.mean(axis=0), best.std(axis=0) + 0.05
        print(f"generation {generation + 1}: mean reward {totals.mean():.1f}, best {totals.max():.1f}", flush=True)
    return mean


def main() -> None:
    """Learn, then print both policies' figures on episodes that neither has seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pipeline", default="video")
    parser.add_argument("--trace", default="bursty")
    parser.add_argument("--generations", type=int, default=15)
    parser.add_argument("--drawn", type=int, default=24, help="episodes of a generation")
    parser.add_argument("--episodes", type=int, default=20, help="episodes to judge on")
    arguments = parser.parse_args()
    loop = environment.ControlLoop(Scenario(pipeline=arguments.pipeline, trace=arguments.trace))
    weights = learn(loop, arguments.generations, arguments.drawn, seed=1)
    print("policy   reward  violations %  cores    PAS   (means; +- 1.96 standard errors of the reward)")
    ipa = of_policy(create("ipa", profiles.load(arguments.pipeline)))
    for name, decide in (("learned", learned(weights)), ("ipa", ipa)):
        episodes = np.array([episode(loop, decide, 2 * number + 1) for number in range(arguments.episodes)])
        reward, violations, cores, pas = episodes.mean(axis=0)
        error = 1.96 * episodes[:, 0].std(ddof=1) / np.sqrt(len(episodes))
        print(f"{name:<8} {reward:6.1f} +- {error:.1f} {violations:8.2f} {cores:9.2f} {pas:6.2f}")


if __name__ == "__main__":
    main()
