"""The video cells of the publication (IPA, JSys 2024) beside ours: planned cores / PAS, means over 20 minutes.

Run it with the real trace (see docs/traces.md):  IPA_TRACE=FILE python studies/examples/published_table.py
"""

from __future__ import annotations

from studies import Scenario, simulate

POLICIES = ("ipa", "scale-only:low", "scale-only:high", "switch-only")

PUBLISHED = {
    "bursty": ((2.72, 34.0), (2.73, 31.9), (5.85, 43.95), (6.0, 40.8)),
    "steady-low": ((2.0, 35.4), (2.0, 31.9), (3.95, 43.95), (6.0, 43.9)),
    "steady-high": ((4.97, 31.9), (4.96, 31.9), (10.3, 43.95), (6.0, 34.3)),
    "fluctuating": ((3.17, 33.6), (3.18, 31.9), (6.89, 43.95), (6.0, 39.3)),
}
"""Planned cost [cores] and PAS of each policy, by workload."""


def cell(workload: str, policy: str) -> tuple[float, float]:
    """Our planned cost [cores] and PAS: the defaults, seed 1."""
    scenario = Scenario(pipeline="video", trace=f"twitter:{workload}").with_values({"policy": policy})
    summary = simulate(scenario).summary
    return summary["planned_cost_mean_cores"], summary["planned_pas_mean"]


def main() -> None:
    print(f"| workload | {' | '.join(POLICIES)} |")
    print(f"|---|{'---|' * len(POLICIES)}")
    for workload, published in PUBLISHED.items():
        cells = []
        for policy, (cores, pas) in zip(POLICIES, published, strict=True):
            our_cores, our_pas = cell(workload, policy)
            cells.append(f"{our_cores:.2f} / {our_pas:.1f} ({cores:.2f} / {pas:.1f})")
        print(f"| {workload} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
