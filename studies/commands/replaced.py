"""Commands and options of earlier versions, and what takes their place."""

from __future__ import annotations

REPLACED = {
    "live --backend": "gone: ipa live up, status and down are for a cluster",
    "live --seed": "--set seed=N",
    "models --s3-endpoint": "the environment variable AWS_ENDPOINT_URL",
    "pipeline --name": "gone: a pipeline is called as its file",
    "pipeline --report": "ipa pipeline show --to FILE",
    "--predictors": "--policy 'ipa predictor=max', one for each, or ipa sweep --vary policy.predictor=max,oracle",
    "--sharing": "gone: ipa compare FLEET compares all rules of sharing",
    "--over": "ipa explore PIPELINE, which draws the plan against the load",
    "--history": "gone: predictors see 120 s of the load, as policies do",
    "--within": "gone: the share within the central 90 % is in the table",
    "--every": "gone: a sample is taken every 10 s, or 1 s of a short load",
    "--fresh": "gone: remove the file of measurements to begin again",
    "--timeout": "gone: an answer of Prometheus has 30 s",
    "--overwrite": "gone: remove the file first",
    "--when": 'gone: --vary \'policy="ipa alpha=1","ipa alpha=2",rate\' gives each policy its own parameters',
    "--sample": "--points N, drawn at random, or --points sobol:N; all combinations without",
    "--sample-seed": "gone: points are drawn by --seed",
    "--length": "gone: windows of ipa tune have 1,200 s, or what a log has room for",
    "--test": "gone: ipa tune tests on the last third of a log, of which ipa trace convert --window cuts a part",
    "--train": "gone: ipa tune trains on two thirds of a log, of which ipa trace convert --window cuts a part",
    "--control-secret": "kubectl create secret generic NAME --from-literal=token=TOKEN",
    "again": "ipa simulate FOLDER, ipa compare FOLDER or ipa sweep FOLDER, as it was made, with --set KEY=VALUE",
    "live load": "ipa live run PIPELINE --backend kubernetes --url URL, or k6 or GuideLLM for any other server",
    "live recover": "gone: --set controller.state=FILE keeps the journal, from which a controller resumes",
    "predictor show": "ipa predictor evaluate, a table",
    "profile compare": "ipa pipeline show FILE --json, of each",
    "profile list": "ipa pipeline list",
    "profile show": "ipa pipeline show",
    "replay": "replay(JOURNAL, SCENARIO) of ipa.studies in Python",
    "trace synthesise": "ipa trace convert NAME --to FILE",
}
"""A command's words, an option, or an option of one group of commands -> what takes its place."""


KEYS = {
    "--advise": "controller.advise",
    "--api-server": "access.api_networks",
    "--arrivals": "arrivals",
    "--changes-per-minute": "controller.changes_per_minute",
    "--client-origin": "access.origins",
    "--client-token-secret": "access.token_secret",
    "--control-from": "access.control_from",
    "--control-port": "gateway.control_port",
    "--control-token-file": "access.control_token_file",
    "--controller": "controller.in_cluster",
    "--count-column": "read.count_column",
    "--cpu": "models.cpu",
    "--decision-timeout": "controller.decision_timeout_s",
    "--gateway-cpu": "gateway.cpu",
    "--gateway-memory": "gateway.memory",
    "--gateways": "gateway.count",
    "--gitops": "controller.gitops",
    "--journal": "journal",
    "--memory": "models.memory",
    "--metrics-host": "controller.metrics_host",
    "--metrics-port": "controller.metrics_port",
    "--models": "models.source",
    "--monitor": "controller.monitor",
    "--most-items": "gateway.most_items",
    "--most-json": "gateway.most_json_bytes",
    "--most-recorded": "gateway.most_recorded_bytes",
    "--network-policy": "access.network_policy",
    "--nodes-within": "cluster.nodes_within_s",
    "--pod-network": "access.pod_networks",
    "--port": "gateway.port",
    "--prometheus": "controller.prometheus",
    "--prometheus-match": "controller.prometheus_match",
    "--pull": "image.pull",
    "--ready-within": "cluster.ready_within_s",
    "--records": "records",
    "--removal": "removal",
    "--s3-endpoint": "models.s3_endpoint",
    "--s3-secret": "models.s3_secret",
    "--samples": "models.samples",
    "--scaling": "scaling",
    "--service": "cluster.service_type",
    "--skip-bad-lines": "read.skip_bad_lines",
    "--source": "controller.source",
    "--state": "controller.state",
    "--state-claim": "controller.state_claim",
    "--step": "read.step",
    "--time-column": "read.time_column",
    "--time-unit": "read.time_unit",
    "--time-zone": "read.time_zone",
    "--token-file": "access.token_file",
}
"""An option -> the key of --set that takes its place."""


def in_place_of(name: str) -> str:
    """What takes the place of a command or an option, as an error; empty if it never was one."""
    if name in KEYS:
        return f"{name} is --set {KEYS[name]}=VALUE"
    return f"{name} is {REPLACED[name]}" if name in REPLACED else ""
