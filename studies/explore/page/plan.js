// The optimiser's plans for a load set by a slider: the Pareto front, the chosen plan, and the plan against the load.
import {show} from "./figures.js";

const at = id => document.getElementById(id);
const PAUSE_MS = 60;

let pause = 0;

// Called once: `ask(policy, load)` returns the plans of a policy (by index); null if there are none.
export function setUp(ask) {
  const again = async () => {
    if (!at("plan").open) return;
    at("plan-load-text").textContent = `${at("plan-load").value} per s`;
    const found = await ask(Number(at("plan-policy").value), Number(at("plan-load").value));
    if (found?.error) at("plan-words").textContent = found.error;
    at("plan-figures").hidden = !found || !!found.error;
    if (!found || found.error) return;
    at("plan-words").textContent = found.words;
    show(at("plan-figures"), found.plots);
  };
  at("plan").addEventListener("toggle", again);
  at("plan-policy").addEventListener("change", again);
  at("plan-load").addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(again, PAUSE_MS); });
  return again;
}

// Offer the policies to choose from; the load starts at the answer's mean.
export function offer({policies, made: {requests, duration_s}}) {
  const before = at("plan-policy").value;
  at("plan-policy").replaceChildren(...policies.map((each, place) =>
    Object.assign(document.createElement("option"), {value: place, textContent: each.policy})));
  if (before && Number(before) < policies.length) at("plan-policy").value = before;
  if (at("plan-load").dataset.touched) return;
  const mean = Math.max(1, Math.round(requests / duration_s));
  Object.assign(at("plan-load"), {max: 4 * mean, value: mean});
  at("plan-load").dataset.touched = "1";
}
