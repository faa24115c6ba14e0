// The points of a sweep's or a study's folder: as a table from which to choose one.
import {made} from "./answer.js";
import {toAddress} from "./question.js";

const at = id => document.getElementById(id);

let ask = null, folder = "", found = null;
let chosen = -1;  // the index of the point that is shown

const stateOf = ({what, ...rest}) => ({...rest, from: what, seeds: String(rest.seeds)});
// Four digits, and all of a whole part.
const rounded = value => value.toLocaleString("en", Math.abs(value) < 1000 ? {maximumSignificantDigits: 4} : {maximumFractionDigits: 0});
const text = value => value === null || value === "" ? "–" : typeof value === "string" ? value
  : typeof value === "number" ? rounded(value) : JSON.stringify(value);

// Called once: `asks(question)` asks the question of a state.
export function setUp(asks) {
  ask = place => asks(stateOf(found.points[place].question));
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
  at("points-table").hidden = status !== 200;
  if (status !== 200) return;
  found = told;
  fill();
}

const words = ({points, all}) => `${all > points.length ? `the first ${points.length} of ` : ""}${all.toLocaleString("en")} points, means over their seeds`;

// Mark the point of a question.
export function choose(state) {
  if (!found) return;
  const {from, policies, seeds, values} = state, now = toAddress({from, policies, seeds, values});
  chosen = found.points.findIndex(each => toAddress(stateOf(each.question)) === now);
  for (const link of at("points-table").querySelectorAll("a")) current(link, Number(link.dataset.place));
}

function current(link, place) {
  if (place === chosen) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
}

// ---- the table ----

function fill() {
  const heads = [...found.keys, ...found.figures.map(each => each.name)].map(textContent => made("th", {scope: "col", textContent}));
  const rows = found.points.map(({values, means, question}, place) => {
    const link = made("a", {href: `#${toAddress({...stateOf(question), among: folder})}`, textContent: "Ask"});
    link.dataset.place = place;
    current(link, place);
    link.setAttribute("aria-label", `Ask ${found.keys.map((key, of) => `${key}=${text(values[of])}`).join(", ")}`);
    link.addEventListener("click", event => { event.preventDefault(); ask(place); });
    return made("tr", {}, made("th", {scope: "row"}, link), ...values.map(each => made("td", {textContent: text(each)})),
      ...means.map((each, of) => made("td", {textContent: each === null ? "–" : each.toFixed(found.figures[of].digits)})));
  });
  const table = made("table", {ariaLabel: "The points"}, made("thead", {}, made("tr", {}, made("td"), ...heads)), made("tbody", {}, ...rows));
  at("points-table").replaceChildren(table);
  table.dispatchEvent(new Event("added", {bubbles: true}));
}
