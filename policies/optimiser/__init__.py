"""The optimiser: solves a pipeline's integer programme exactly, with fallbacks if it is infeasible.

In the order in which a decision passes them, its modules are:

- `parameters`, `scales`, `programme`: the programme, its weights in whole numbers, and its tables, once for a pipeline;
- `flows`: how many items come to a stage, and the accuracy of a graph; in a chain one item and a product;
- `problem`: one decision's problem, the options of each stage, and the knapsack that solvers get;
- `solution`: the entry, from a problem to a configuration with reasons, and the cache of answers;
- `ladder`: the rungs from the optimum to fallbacks; `throughput`: the greatest load that is sustained, for the last;
- `solvers`: by name; nodes around them; `exact`, which takes chains itself with `fronts` and `relaxation`;
- `graphs`, `scenes`: where the inflows of `exact` depend on variants, or ways meet: the tree, and one of its leaves;
- `general`: the same knapsack as a model for Gurobi and HiGHS;
- `explain`: why a plan was chosen, prices, and the plans of a front;
- `within`: the best plan within each number of cores.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
