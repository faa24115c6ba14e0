// The points of a sweep's or a study's folder: as parallel coordinates, and as a table from which to choose one.
import {made} from "./answer.js";
import {drawPoints} from "./figures.js";
import {toAddress} from "./question.js";

const at = id => document.getElementById(id);
const AXES = ["cores", "PAS", "violations %", "p99 s"];  // the figures that are drawn; the first is also the colour

let ask = null, folder = "", found = null;
let chosen = -1;  // the index of the point that is shown
let by = {column: -1, isDown: false};  // the sort order of the table; -1: the order of the folder

const stateOf = ({what, ...rest}) => ({...rest, from: what, seeds: String(rest.seeds)});
const text = value => value === null || value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value);

// Called once: `asks(question)` asks the question of a state.
export function setUp(asks) {
  ask = place => asks(stateOf(found.points[place].question));
  at("points").querySelector("details").addEventListener("toggle", draw);
}

// Show the points of a folder, or none; `post` sends a request to the server.
export async function show(which, post) {
  if (which === folder) return;
  folder = which;
  found = null;
  at("points").hidden = !which;
  if (!which) return;
  const {status, found: told} = await post("points", {what: which});
  if (which !== folder) return;
  at("points-title").textContent = `The points of ${which}`;
  at("points-words").textContent = status === 200 ? words(told) : told.error;
  for (const id of ["points-figure", "points-table"]) at(id).hidden = status !== 200;
  if (status !== 200) return;
  found = told;
  by = {column: -1, isDown: false};
  fill();
  await draw();
}

const words = ({points, all}) => `${all > points.length ? `the first ${points.length} of ` : ""}${all.toLocaleString("en")} points, means over their seeds`;

// Mark the point of a question.
export function choose(state) {
  if (!found) return;
  const {from, policies, seeds, values} = state, now = toAddress({from, policies, seeds, values});
  chosen = found.points.findIndex(each => toAddress(stateOf(each.question)) === now);
  for (const link of at("points-table").querySelectorAll("a")) current(link, Number(link.dataset.place));
  draw();
}

function current(link, place) {
  if (place === chosen) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
}

export async function draw() {
  if (!found || !at("points").querySelector("details").open) return;  // closed details have no width
  const figure = name => ({name, values: found.points.map(each => each.means[found.figures.findIndex(one => one.name === name)])});
  const keys = found.keys.map((name, of) => ({name, values: found.points.map(each => each.values[of])}));
  await drawPoints([...keys, ...AXES.map(figure)], figure(AXES[0]), chosen, ask);
}

// ---- the table ----

const cellsOf = ({values, means}) => [...values, ...means];

function fill() {
  const {column, isDown} = by, names = [...found.keys, ...found.figures.map(each => each.name)];
  const places = [...found.points.keys()];
  if (column >= 0) places.sort((one, other) => (isDown ? -1 : 1) * compare(cellsOf(found.points[one])[column], cellsOf(found.points[other])[column]));
  const heads = names.map((name, of) => {
    const button = made("button", {type: "button", textContent: `${name}${of === column ? (isDown ? " ↓" : " ↑") : ""}`});
    button.addEventListener("click", () => {
      by = {column: of, isDown: of === column && !isDown};
      fill();
      at("points-table").querySelectorAll("thead button")[of].focus();
    });
    const head = made("th", {scope: "col"}, button);
    head.setAttribute("aria-sort", of === column ? (isDown ? "descending" : "ascending") : "none");
    return head;
  });
  const rows = places.map(place => {
    const {values, means, question} = found.points[place];
    const link = made("a", {href: `#${toAddress({...stateOf(question), among: folder})}`, textContent: "Ask"});
    link.dataset.place = place;
    current(link, place);
    link.setAttribute("aria-label", `Ask ${found.keys.map((key, of) => `${key}=${text(values[of])}`).join(", ")}`);
    link.addEventListener("click", event => { event.preventDefault(); ask(place); });
    return made("tr", {}, made("th", {scope: "row"}, link), ...values.map(each => made("td", {textContent: text(each)})),
      ...means.map((each, of) => made("td", {textContent: each === null ? "–" : each.toFixed(found.figures[of].digits)})));
  });
  at("points-table").replaceChildren(made("table", {}, made("thead", {}, made("tr", {}, made("td"), ...heads)), made("tbody", {}, ...rows)));
}

function compare(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  return typeof one === "number" && typeof other === "number" ? one - other : text(one).localeCompare(text(other), "en", {numeric: true});
}
