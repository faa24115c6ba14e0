"""The columns of a run's tables, and the keys of its summary and manifest."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column or key; `unit` is empty for names and for numbers without one."""

    unit: str
    meaning: str


_OF_TOKENS = {
    "input_tokens": Column("", "only with language models: of the prompt; -1: not known, or no such stage"),
    "output_tokens": Column("", "only with language models: to be generated; -1: not known, or no such stage"),
    "first_token_s": Column("s", "only with language models: when the first of these was there"),
}

COLUMNS = {
    "requests": {
        "request": Column("", "number, in order of arrival, from 0"),
        "arrival_s": Column("s", "arrival at the pipeline"),
        "outcome": Column("", "`completed`, `dropped`, `failed` or `unfinished`"),
        "dropped_stage": Column("", "the stage that dropped it"),
        "end_s": Column("s", "completion or drop"),
        "latency_s": Column("s", "end - arrival, for completed requests"),
        "accuracy": Column(
            "fraction",
            "product of the accuracies of the variants that served it, for completed requests",
        ),
        "sampled": Column(
            "",
            "only with `records: sample`: whether the request belongs to the uniform sample; the others are "
            "the slowest",
        ),
        "reason": Column("", "only with language models: why it failed"),
    },
    "stages": {
        "request": Column("", "as above"),
        "stage": Column("", "the stage's name"),
        "enqueue_s": Column("s", "entry to the stage's queue"),
        "start_s": Column("s", "start of its batch"),
        "finish_s": Column("s", "end of its batch"),
        "replica": Column("", "number of the replica that served it; -1: none"),
        "batch": Column("", "number of its batch, in order of start at the stage, from 0; -1: none"),
        "batch_size": Column("requests", "the size of that batch; -1: none"),
        "filled_s": Column("s", "only with `records: sample`: when the last request of its batch was enqueued"),
        **_OF_TOKENS,
    },
    "items": {
        "request": Column("", "the request of which the item is a part"),
        "stage": Column("", "the stage's name"),
        "enqueue_s": Column("s", "entry to the stage's queue"),
        "start_s": Column("s", "start of its batch"),
        "finish_s": Column("s", "end of its batch"),
        "replica": Column("", "number of the replica that served it; -1: none"),
        "batch": Column("", "number of its batch, in order of start at the stage, from 0; -1: none"),
        "batch_size": Column("items", "the size of that batch; -1: none"),
        "dropped_s": Column("s", "when it was dropped, or failed"),
        "filled_s": Column("s", "only with `records: sample`: when the last item of its batch was enqueued"),
        **_OF_TOKENS,
    },
    "decisions": {
        "step": Column("", "0 is the configuration at the start; then one per control step"),
        "time_s": Column("s", "time of the decision; it takes effect `decision_delay_s` later"),
        "stage": Column("", "the stage that the next five columns describe"),
        "variant": Column("", "the desired variant"),
        "batch": Column("requests", "the batch size"),
        "replicas": Column("", "the desired number of replicas"),
        "cores": Column("cores", "per replica"),
        "batch_timeout_s": Column("s", "the longest wait for a batch to fill"),
        "cost_cores": Column("cores", "of the whole decided configuration, over all stages"),
        "accuracy": Column("fraction", "of the whole decided configuration, the product over stages"),
        "forecast_rps": Column("requests/s", "the predictor's forecast"),
        "planned_load_rps": Column("requests/s", "the load that was planned for"),
        "objective": Column("", "the value of the optimiser's objective"),
        "binding": Column(
            "",
            "the constraint that excluded a better configuration: `none`, `sla`, `cores`, `nodes`, "
            "`gpus`, `replicas`, `sla+cores`, `variants`",
        ),
        "rung": Column(
            "",
            "`optimal`, a fallback, `hold` (no sample of the load; in live mode also if the policy exceeded "
            "its time limit or failed), or `initial`",
        ),
        "feasible": Column("", "whether load, SLA and limits could all be met"),
        "accepted": Column(
            "",
            "whether the decision was put in force. Always true in simulation. In live mode a decision may be "
            "refused or rolled back; the previous configuration then stays in force",
        ),
        "notes": Column("", "further remarks, separated by `; `"),
    },
    "replicas": {
        "stage": Column("", "the stage's name"),
        "replica": Column("", "number within the stage, in order of creation, from 0"),
        "variant": Column("", "its variant"),
        "cores": Column("cores", "its cores"),
        "created_s": Column("s", "creation; its cost starts here"),
        "ready_s": Column("s", "ready to serve"),
        "removed_s": Column("s", "removed by a rollout; takes no new batch"),
        "gone_s": Column("s", "gone; its cost ends here"),
    },
    "intervals": {
        "time_s": Column("s", "start of the interval"),
        "requests": Column("", "requests that arrived in it, as in the next six columns"),
        "quietest_rps": Column("requests/s", "arrivals in the second with the fewest"),
        "busiest_rps": Column("requests/s", "arrivals in the second with the most"),
        "completed": Column("", "of these requests, those that completed, late or not"),
        "late": Column("", "completed after more than the SLA"),
        "dropped": Column("", "dropped at some stage"),
        "failed": Column("", "in simulation with `removal: lose`, or without room at a language model"),
        "unfinished": Column("", "not ended by 10 x SLA after the trace's end"),
        "became_late": Column(
            "",
            "requests that had been in the system for the SLA at some moment of the interval, and stayed",
        ),
        "late_waiting": Column("", "requests in the system for longer than the SLA at its end"),
        "answered": Column("", "only in a graph: requests that completed in it, whenever they arrived"),
    },
    "latencies": {
        "time_s": Column("s", "start of the interval"),
        "latency_s": Column("s", "middle of the bucket; each latency in it is within 1 %"),
        "requests": Column("", "completed requests that arrived in the interval and had such a latency"),
    },
    "queues": {
        "time_s": Column("s", "start of the interval"),
        "stage": Column("", "the stage's name"),
        "enqueued": Column("", "requests, in a graph items, that came to the stage in the interval"),
        "started": Column("", "requests whose service began"),
        "finished": Column("", "requests whose service ended"),
        "dropped": Column("", "requests dropped"),
        "waiting": Column("", "requests that wait at its end"),
        "in_service": Column("", "requests in service at its end"),
    },
    "spent": {
        "stage": Column("", "the stage's name; of a graph, only what lies on a request's critical path counts"),
        "hop_s": Column("s", "on the way to the stage"),
        "batch_s": Column("s", "until the last request of the batch came"),
        "queue_s": Column("s", "until a replica took the batch"),
        "service_s": Column("s", "in service"),
    },
    "load": {
        "request": Column(
            "",
            "its number; its id in the protocol is that, in a live run with a name before it that others cannot guess",
        ),
        "arrival_s": Column("s", "when it was due"),
        "sent_s": Column("s", "when it was sent"),
        "outcome": Column(
            "",
            "`completed` (status 200), `dropped` (504, or 503 with `Retry-After`), `failed` (any other, or no "
            "connection), `unfinished` (no answer by the end)",
        ),
        "end_s": Column("s", "when the answer arrived"),
        "latency_s": Column("s", "end - arrival, for completed requests"),
        "status": Column("", "the HTTP status; 0: no answer, -1: no connection, -2: not known"),
        "reason": Column(
            "",
            "why it was not completed, as its client was told; texts that differ in numbers alone are given "
            "as the first of them",
        ),
    },
}
"""The columns of each table, by the table's name; only live runs have `load`."""

SUMMARY = {
    "pipeline": Column("", "its name"),
    "policy": Column("", "its `label`, or its name as in the scenario"),
    "trace": Column("", "its name"),
    "seed": Column("", "the seed"),
    "engine": Column("", "the engine that ran the model"),
    "records": Column(
        "",
        "as in the scenario: which records the tables hold. The summary always covers all requests",
    ),
    "knows_future": Column(
        "",
        "whether the policy knows the load to come: it is then a bound for others, and no choice",
    ),
    "duration_s": Column("s", "the trace's length"),
    "requests": Column("", "all that arrived: the sum of the next four"),
    "completed": Column("", "served by all stages, within the SLA or late"),
    "dropped": Column("", "dropped at some stage"),
    "failed": Column("", "in simulation with `removal: lose`, or without room at a language model"),
    "unfinished": Column("", "not ended by 10 x SLA after the trace's end"),
    "sla_s": Column("s", "the end-to-end SLA"),
    "sla_violation_rate": Column("fraction", "of **all** requests: late, dropped, failed or unfinished"),
    "sla_violation_worst_hour_rate": Column(
        "fraction",
        "the same, of the requests of the worst hour. Hours begin with the run, and the last one ends with it; in a "
        "run of at most an hour, all requests",
    ),
    "sla_violation_seconds_rate": Column(
        "fraction",
        "of the seconds in which requests arrived, the share whose p99 exceeds the SLA: more than 1 % of "
        "the requests that arrived in the second violate it. With fewer than 100 requests, one violation "
        "is enough",
    ),
    "goodput_rps": Column("requests/s", "completed within the SLA, within the duration"),
    "throughput_rps": Column("requests/s", "completed within the duration"),
    "latency_mean_s": Column("s", "of completed requests, as are the next three rows"),
    "latency_p50_s": Column("s", "median"),
    "latency_p95_s": Column("s", "95 % quantile"),
    "latency_p99_s": Column("s", "99 % quantile"),
    "latency_quantiles_relative_error": Column(
        "fraction",
        "maximum error of the three quantiles: 0, or 0.001 with `records` `sample` or `none`",
    ),
    "ttft_p50_s": Column(
        "s",
        "with language models, at the last stage that is one: from coming there to the first token, of those that "
        "finished there; median",
    ),
    "ttft_p99_s": Column("s", "99 % quantile"),
    "tpot_p50_s": Column("s", "likewise: from the first token to the last, for each but the first; median"),
    "tpot_p99_s": Column("s", "99 % quantile"),
    "cost_mean_cores": Column(
        "cores x price",
        "of all existing replicas, including starting and draining ones, averaged over the duration",
    ),
    "cost_core_s": Column("core-seconds x price", "the same, summed"),
    "gpus_mean": Column("", "where variants have any: the GPUs of existing replicas, averaged over the duration"),
    "pas_mean": Column(
        "x 100",
        "pipeline accuracy score: the mean over completed requests of the product of the accuracies of "
        "the variants that served them",
    ),
    "stage_accuracy_mean": Column(
        "x 100",
        "for each stage, the mean accuracy of the variants that served completed requests; in a graph, their items. In "
        "tables it is JSON",
    ),
    "planned_cost_mean_cores": Column(
        "cores x price",
        "time-weighted mean of the decided configurations, which the publication plots. While a decision "
        "was not `accepted`, the previous one counts",
    ),
    "planned_pas_mean": Column("x 100", "likewise"),
    "decisions": Column("", "number of decisions, including that of a warm start"),
    "infeasible_decisions": Column("", "decisions that could not meet load, SLA, limits and goal"),
    "below_accuracy_decisions": Column("", "of these, those with less accuracy than the goal asks for"),
    "above_cores_decisions": Column("", "of these, those that take more cores than the limit or the goal allows"),
    "uncovered_decisions": Column(
        "", "of these, those for fewer late requests (`late_at_most`) than the quantiles of the forecast cover"
    ),
    "overloaded_decisions": Column(
        "",
        "of these, those for a load that nothing carries within the SLA and the limits, as the policy says",
    ),
    "changes": Column("", "decisions that changed the configuration in force"),
    "room_lacked": Column("", "how often a stage had no room for a replica within the limits"),
    "room_lacked_s": Column("s", "how long, summed over the stages"),
    "wall_s": Column("s", "duration of the simulation; the only figure that differs from run to run"),
}
"""The keys of the summary, in `runs.parquet`, `--json` and the manifest."""

MANIFEST = {
    "schema_version": Column("", "1"),
    "kind": Column(
        "",
        "`run`; for a comparison's folder `runs`, with the `scenarios` of its policies and the list `runs` of their "
        "policies, seeds and keys in the store; for a study's `study`, for a sweep's `sweep`",
    ),
    "scenario": Column("", "all keys with their values, including defaults"),
    "scenario_sha256": Column("", "its digest"),
    "files": Column("", "sha256 of every file named in the scenario: pipeline, trace, policy, predictor"),
    "inputs": Column(
        "",
        "by name, the sha256 and the place, relative to the folder, of the `files` of which it has a copy, and of the "
        "`loads` that were logs; of a comparison, a sweep or a study for all of its runs",
    ),
    "policy": Column("", "the policy's name and all its parameters, including defaults"),
    "accuracies": Column("", "stage -> variant -> accuracy of the pipeline"),
    "seed": Column("", "the seed"),
    "trace": Column(
        "",
        "name, source, sha256 (of the file as stored, or of the synthetic load), how its times were read "
        "(`reading`), the clock's time at its start (`starts_at`), number of requests, and if it is scaled the mean "
        "rate before (`unscaled_rps`)",
    ),
    "summary": Column("", "the summary"),
    "decisions_reused": Column(
        "",
        "the share of decisions that the optimiser reused from an identical question earlier in this run; "
        "null for a policy that does not use the optimiser",
    ),
    "python": Column("", "its version"),
    "versions": Column(
        "",
        "versions of this program and of the libraries that affect the figures; `source` is a digest of "
        "the source files that determine results",
    ),
}

LIVE = {
    "loss": Column("", "what the run said first because it lost too many requests; empty if it did not"),
    "backend": Column("", "`loopback`, or `kubernetes`"),
    "source": Column("", "where observations came from: `gateway` or `prometheus`"),
    "advise": Column("", "whether the run only gave advice"),
    "ended": Column("", "why the run ended early; empty if it did not"),
    "decision_timeout_s": Column("s", "the time limit for a decision"),
    "decisions_held": Column("", "decisions that exceeded the time limit or failed"),
    "requests_sent": Column("", "the requests in the tables"),
    "lateness_p50_s": Column("s", "how late requests were sent: median"),
    "lateness_p99_s": Column("s", "99 % quantile"),
    "lateness_max_s": Column("s", "maximum"),
    "sent_late": Column("", "requests sent more than 10 ms late"),
    "records_lost": Column(
        "",
        "requests that were answered but have no record, because the gateway had to discard it or was "
        "restarted; the tables list them as their client saw them",
    ),
    "foreign_requests": Column(
        "",
        "requests that others sent to the gateway: they count in its load but are in no table",
    ),
    "refused": Column("", "how many requests, of whomever, the gateway refused before they were let in, by reason"),
    "cut_off": Column("", "requests that had not ended when the run was ended early; they are in no table"),
    "models": Column(
        "", "the digests of the real models, by STAGE/VARIANT, fixed at the run's start; none if emulated"
    ),
    "broken_laws": Column(
        "",
        "the laws of the model that the records break, except L9, which needs an engine's own integral, "
        "L3 at stages where a batch was retried, and L4 for batches that were never answered and for the "
        "last batches of replicas that were killed",
    ),
}
"""The keys below the manifest's key `live`, which only live runs have."""
