// A run over time: a moment that can be moved or played, the state of the stages at it, and the decision in force.

const at = id => document.getElementById(id);
const MOST_MARKS = 24;  // the most replicas of a stage that are drawn one by one

let found = null;  // the run as the server returned it
let key = "";  // identifies the run that was requested
let time_s = 0, playing = 0, shown_ms = 0;

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Called once: `ask(policy, seed)` returns the run of a policy (by index) and a seed; null if there is none.
export function setUp(ask) {
  const again = () => refresh(ask);
  at("inside").addEventListener("toggle", again);
  at("inside-run").addEventListener("change", again);
  at("moment").addEventListener("input", () => { time_s = Number(at("moment").value); show(); });
  at("play").addEventListener("click", () => playing ? stop() : start());
  return again;
}

// Offer the runs to choose from; the chosen one stays chosen.
export function offer({policies, made: {seeds}}) {
  const before = at("inside-run").value;
  at("inside-run").replaceChildren(...policies.flatMap((each, place) => seeds.map((seed, of) =>
    made("option", {value: `${place} ${of}`, textContent: `${each.policy}, seed ${seed}`}))));
  if ([...at("inside-run").options].some(each => each.value === before)) at("inside-run").value = before;
}

async function refresh(ask) {
  if (!at("inside").open) return stop();
  const [policy, seed] = at("inside-run").value.split(" ").map(Number);
  const asked = await ask(policy, seed, key);
  if (!asked) return;
  ({key} = asked);
  found = asked.found;
  const end_s = found.moments_s.at(-1);
  at("moment").max = end_s;
  time_s = Math.min(time_s, end_s);
  at("network").replaceChildren(...Object.keys(found.stages).map((name, place) => stage(name, place)));
  show();
}

function stage(name, place) {
  const box = made("div", {className: "stage"});
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", name);
  box.append(made("h3", {textContent: name}), made("p", {className: "wanted"}), made("p", {className: "marks"}),
    made("p", {className: "counts"}), made("div", {className: "queue"}, made("i")));
  if (place) box.classList.add("later");
  return box;
}

function show() {
  if (!found) return;
  const place = Math.max(0, found.moments_s.findLastIndex(moment => moment <= time_s));
  const inForce = found.decisions.findLast(each => each.time_s <= time_s) ?? found.decisions[0];
  const most = Math.max(1, ...Object.values(found.stages).flatMap(each => Math.max(...each.waiting)));
  at("moment").value = time_s;
  at("moment").setAttribute("aria-valuetext", `${Math.round(time_s)} seconds`);
  at("time").textContent = `${Math.round(time_s)} s`;
  [...at("network").children].forEach((box, of) => {
    const name = Object.keys(found.stages)[of], counts = found.stages[name];
    const [waiting, served, starting, ready, draining] = ["waiting", "served", "starting", "ready", "draining"].map(each => counts[each][place]);
    box.querySelector(".wanted").textContent = inForce?.stages[name] ?? "";
    box.querySelector(".counts").textContent = `${waiting} waiting, ${served} in service; ${ready} ready`
      + (starting ? `, ${starting} starting` : "") + (draining ? `, ${draining} draining` : "");
    const marks = [...Array(ready).fill("ready"), ...Array(starting).fill("starting"), ...Array(draining).fill("draining")];
    box.querySelector(".marks").replaceChildren(...marks.slice(0, MOST_MARKS).map(kind => made("i", {className: kind})));
    box.querySelector(".queue i").style.width = `${100 * waiting / most}%`;
  });
  at("decided").replaceChildren(...(inForce ? [`Decided at ${inForce.time_s} s`, ...inForce.words] : ["No decision yet"])
    .map(text => made("li", {textContent: text})));
}

function start() {
  if (!found) return;
  if (time_s >= found.moments_s.at(-1)) time_s = 0;
  shown_ms = performance.now();
  at("play").textContent = "Stop";
  playing = requestAnimationFrame(step);
}

function stop() {
  cancelAnimationFrame(playing);
  playing = 0;
  at("play").textContent = "Play";
}

function step(now_ms) {
  time_s = Math.min(time_s + Math.max(0, now_ms - shown_ms) / 1000 * Number(at("speed").value), found.moments_s.at(-1));
  shown_ms = now_ms;
  show();
  if (time_s < found.moments_s.at(-1)) playing = requestAnimationFrame(step);
  else stop();
}
