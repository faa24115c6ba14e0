// A run over time: a moment that can be moved or played, the state of the pipeline at it, and the decision in force.
import {made} from "./control.js";

const at = id => document.getElementById(id);
const MOST_MARKS = 24;  // the most replicas of a stage that are drawn one by one
const WIDE = 230, NARROW = 154, HIGH = 188, GAP = 84, SIDE = 14;  // a stage, and the gaps along and across the flow [pixels]
const THICKEST = 7;  // the edge with the most flow [pixels]
const COUNTS = ["waiting", "served", "batches", "starting", "ready", "draining"];

let found = null;  // the run as the server returned it
let key = "";  // identifies the run that was requested
let time_s = 0, playing = 0, shown_ms = 0;

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
  ({key, found} = asked);
  if (!found) {
    stop();
    at("network").replaceChildren();
    at("decided").replaceChildren(made("li", {textContent: asked.problem}));
    return;
  }
  const end_s = found.moments_s.at(-1);
  at("moment").max = end_s;
  time_s = Math.min(time_s, end_s);
  draw();
  show();
}

// Draw the pipeline in the server's layout: from left to right, or from above if it fits only so.
function draw() {
  const {columns, rows, stages, edges} = found, box = at("network");
  const long = (count, side) => count * (side + GAP) - GAP, broad = (count, side) => count * (side + SIDE) - SIDE;
  const room = box.clientWidth, isDown = long(columns, NARROW) > room && broad(rows, NARROW) <= room;
  const most = isDown ? (room + SIDE) / rows - SIDE : (room + GAP) / columns - GAP;
  const wide = Math.max(NARROW, Math.min(WIDE, most));
  const [width, height] = isDown ? [broad(rows, wide), long(columns, HIGH)] : [long(columns, wide), broad(rows, HIGH)];
  // A place is the middle of one of equal cells, of which the outer ones reach half a gap beyond the drawing.
  const middle = (part, count, side, gap) => part * count * (side + gap) - gap / 2;
  const point = ([x, y]) => isDown ? [middle(1 - y, rows, wide, SIDE), middle(x, columns, HIGH, GAP)]
    : [middle(x, columns, wide, GAP), middle(1 - y, rows, HIGH, SIDE)];
  const put = (element, [left, top]) => { Object.assign(element.style, {left: `${left}px`, top: `${top}px`}); return element; };
  const half = isDown ? [0, HIGH / 2] : [wide / 2, 0];
  const beside = (place, side) => point(place).map((each, axis) => each + side * half[axis]);
  const lines = edges.map(({way}) => way.flatMap(place => [beside(place, -1), beside(place, 1)]).slice(1, -1));
  const picture = svg("svg", {width, height, "aria-hidden": true}, svg("marker", TIP, svg("path", {d: "M0 0L8 4L0 8z"})),
    ...lines.map(line => svg("path", {d: `M${line.map(each => each.join(" ")).join("L")}`, class: "edge", "marker-end": "url(#tip)"})));
  const flows = lines.map(([one, other], of) =>
    put(group("span", "flow", edges[of].name), one.map((each, axis) => (each + other[axis]) / 2)));
  const boxes = Object.entries(stages).map(([name, about]) => put(stage(name, about), point(about.place)));
  for (const each of boxes) Object.assign(each.style, {width: `${wide}px`, height: `${HIGH}px`});
  const inner = made("div", {}, picture, ...flows, ...boxes);
  Object.assign(inner.style, {width: `${width}px`, height: `${height}px`});
  box.replaceChildren(inner);
}

const TIP = {id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 12, markerHeight: 12, markerUnits: "userSpaceOnUse", orient: "auto"};

function svg(tag, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function group(tag, className, name) {
  const element = made(tag, {className});
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", name);
  return element;
}

function stage(name, {join}) {
  const box = group("div", "stage", name);
  box.append(made("h3", {textContent: name}, ...(join ? [made("small", {textContent: ` joins ${join}`})] : [])), made("p", {className: "wanted"}),
    made("p", {className: "marks"}), made("p", {className: "counts"}), made("div", {className: "queue"}, made("i")));
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
  at("network").querySelectorAll(".stage").forEach((box, of) => {
    const [name, counts] = Object.entries(found.stages)[of];
    const [waiting, served, batches, starting, ready, draining] = COUNTS.map(each => counts[each][place]);
    box.querySelector(".wanted").textContent = inForce?.stages[name] ?? "";
    box.querySelector(".counts").textContent = `${waiting} waiting, ${served} in service`
      + (served ? ` in ${batches === 1 ? "1 batch" : `${batches} batches`}` : "") + `; ${ready} ready`
      + (starting ? `, ${starting} starting` : "") + (draining ? `, ${draining} draining` : "");
    const busy = Math.min(batches, ready);  // a replica that drains serves its last batch
    const marks = [...Array(busy).fill("busy"), ...Array(ready - busy).fill("ready"), ...Array(starting).fill("starting"), ...Array(draining).fill("draining")];
    box.querySelector(".marks").replaceChildren(...marks.slice(0, MOST_MARKS).map(kind => made("i", {className: kind})));
    box.querySelector(".queue i").style.width = `${100 * waiting / most}%`;
  });
  const flows = found.edges.map(each => each.flow_rps[place]), mostFlow = Math.max(...found.edges.flatMap(each => each.flow_rps));
  at("network").querySelectorAll(".flow").forEach((label, of) => { label.textContent = `${flows[of].toFixed(1)}/s`; });
  at("network").querySelectorAll(".edge").forEach((edge, of) => { edge.style.strokeWidth = 1 + (THICKEST - 1) * flows[of] / (mostFlow || 1); });
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
