"""PPO of stable-baselines3 in the Gymnasium environment, learnt on some days of a real trace and judged on later ones.

    pip install -r studies/examples/requirements-ppo.txt
    python studies/examples/learn_ppo.py TRACE

It learns on 20-minute windows of days 0 to 13 of the trace, four a day. It and `ipa` are judged on three windows of
each of the days 15 to 21.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from ipa import profiles
from ipa.policies import Configuration, create
from ipa.studies import Scenario
from ipa.studies.many import environment

DAY_S, WINDOW_S = 86_400, 1_200
LEARNT_ON, JUDGED_ON = range(14), range(15, 22)
AT_ONCE = 8
"""The number of parallel environments."""

Decide = Callable[[environment.ControlLoop], Configuration]


def windows(trace: str, scale: float, days: range, starts_s: tuple[int, ...]) -> list[Scenario]:
    """The windows of these days; `starts_s`: their starts from the beginning of each day."""
    begins = [day * DAY_S + start for day in days for start in starts_s]
    return [
        Scenario.model_validate(
            {
                "pipeline": "video",
                "trace": trace,
                "scale": scale,
                "scaling": "floor",
                "window": (begin, begin + WINDOW_S),
            }
        )
        for begin in begins
    ]


def learnt(scenarios: list[Scenario], steps: int, seed: int) -> Decide:
    """The policy that PPO has learnt after `steps` of all environments together."""
    loops = VecNormalize(make_vec_env(lambda: environment.ControlLoop(scenarios), AT_ONCE, seed=seed), gamma=0.95)
    model = PPO("MlpPolicy", loops, n_steps=256, batch_size=256, gamma=0.95, seed=seed, device="cpu")
    model.learn(steps)

    def decide(loop: environment.ControlLoop) -> Configuration:
        encoded = loops.normalize_obs(loop.encoding.observation(loop.seen))
        action, _ = model.predict(encoded, deterministic=True)
        load = [value for value in loop.seen.load_rps[-10:] if value == value]
        return loop.encoding.configuration(action, sum(load) / max(1, len(load)))

    return decide


def judged(scenarios: list[Scenario], decide: Decide) -> np.ndarray:
    """The sum of rewards, violations [%], mean cores and PAS on each window; shape (windows, 4)."""
    rows = []
    for number, scenario in enumerate(scenarios):
        loop = environment.ControlLoop(scenario)
        _, info = loop.reset(seed=number)
        total, steps, ended = 0.0, [info], False
        while not ended:
            _, reward, ended, _, info = loop.decide(decide(loop))
            total += reward
            steps.append(info)
        violations, arrivals = (sum(step[key] for step in steps) for key in ("violations", "arrivals"))
        cores, pas = (float(np.mean([step[key] for step in steps[1:]])) for key in ("cores", "pas"))
        rows.append((total, 100 * violations / max(1, arrivals), cores, 100 * pas))
    return np.array(rows)


def main() -> None:
    """Learn, then print both policies' figures on windows that neither has seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trace", help="a trace of at least 22 days, such as the Twitter month")
    parser.add_argument("--scale", type=float, default=0.125, help="of the trace's load")
    parser.add_argument("--steps", type=int, default=40_960, help="control steps to learn from")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    hour_s = 3_600
    learning = windows(arguments.trace, arguments.scale, LEARNT_ON, (4 * hour_s, 9 * hour_s, 14 * hour_s, 19 * hour_s))
    judging = windows(arguments.trace, arguments.scale, JUDGED_ON, (2 * hour_s, 11 * hour_s, 20 * hour_s))
    decide = learnt(learning, arguments.steps, arguments.seed)
    ipa = create("ipa", profiles.load("video"))
    print("policy   reward  violations %  cores    PAS   (means; +- 1.96 standard errors of the reward)")
    for name, decider in (("ppo", decide), ("ipa", lambda loop: ipa.decide(loop.seen, {}).configuration)):
        episodes = judged(judging, decider)
        reward, violations, cores, pas = episodes.mean(axis=0)
        error = 1.96 * episodes[:, 0].std(ddof=1) / np.sqrt(len(episodes))
        print(f"{name:<8} {reward:6.1f} +- {error:.1f} {violations:8.2f} {cores:9.2f} {pas:6.2f}", flush=True)


if __name__ == "__main__":
    main()
