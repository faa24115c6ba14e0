// The page: its state is a question and optionally a pinned one, both in the address; any change of the state asks the server.
import {showAnswer, showDifferences, showProblem, toCsv} from "./answer.js";
import {show as showFigures} from "./figures.js";
import * as inside from "./inside.js";
import * as plan from "./plan.js";
import * as points from "./points.js";
import {fromAddress, label, Question, toAddress} from "./question.js";

const PAUSE_MS = 60;  // a moving slider asks once it has rested this long
const ADDRESS_MS = 400;  // browsers refuse addresses that change faster
const COARSE_MS = 400;  // questions not answered by then get a coarse answer first
const MOST_HISTORY = 100;

const at = id => document.getElementById(id);
const tab = crypto.randomUUID();
let number = 0;
let waiting = null;  // the AbortController of the pending question
let last = null;  // {state, answer}
let pinned = null;  // {state, number}: the number under which the server keeps its runs
let form = null;
let among = "";  // the folder whose points are shown too
let leftOut = [];  // what was refused of the address and is left out of the answer
let history_ = JSON.parse(sessionStorage.getItem("history") ?? "[]");

async function post(path, body, signal) {
  const headers = {"Content-Type": "application/json"};
  const response = await fetch(path, {method: "POST", headers, body: JSON.stringify(body), signal});
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const found = isJson ? await response.json() : {error: await response.text()};
  return {status: response.status, found};
}

const questionOf = ({from, policies, seeds, values}) => ({what: from, policies, seeds: Number(seeds), values});

const bodyOf = (state, mine) => ({
  tab, number: mine, question: questionOf(state),
  pinned: pinned && {number: pinned.number, ...(pinned.state.measured ? {measured: pinned.state.measured} : {question: questionOf(pinned.state)})},
});

// The answer to a question; null if a newer one was asked, or on an error, which is shown.
async function asked(state) {
  const mine = ++number;
  waiting?.abort();
  waiting = new AbortController();
  at("status").textContent = "Asking…";
  const began = performance.now(), isOpen = new AbortController();
  const meanwhile = setTimeout(coarsely, COARSE_MS, state, mine, AbortSignal.any([isOpen.signal, waiting.signal]));
  try {
    const {status, found} = await post("answer", bodyOf(state, mine), waiting.signal);
    if (mine !== number || status === 409) return null;
    if (status !== 200) return said(found.error);
    at("status").textContent = `Answered in ${Math.round(performance.now() - began)} ms`;
    return found;
  } catch (error) {
    if (mine !== number || error.name === "AbortError") return null;
    return said("The server has ended: start ipa explore again.");
  } finally {
    clearTimeout(meanwhile);
    isOpen.abort();
  }
}

// Show a coarse answer, marked as such and without downloads, while the whole one is pending.
async function coarsely(state, mine, signal) {
  try {
    const {status, found} = await post("coarse", bodyOf(state, mine), signal);
    if (signal.aborted || status !== 200 || !found.coarse) return;
    mark(found.coarse);
    document.body.classList.remove("unanswered");
    show(found);
  } catch (error) {
    if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error;  // the whole answer reports the error
  }
}

function show(found) {
  showAnswer(found);
  const [plane, ...rest] = found.plots;
  showFigures(at("plane"), [plane]);
  showFigures(at("plots"), rest);
}

// Mark the shown answer as coarse, or remove the mark.
function mark(coarse) {
  at("coarse").hidden = !coarse;
  at("coarse").textContent = coarse;
  document.body.classList.toggle("coarse", !!coarse);
  for (const id of TAKING) at(id).setAttribute("aria-disabled", !!coarse);
}

const TAKING = ["pin", "csv", "table", "report"];
const canTake = () => last && !document.body.classList.contains("coarse");

function said(problem) {
  mark("");
  at("title").textContent = "No answer";
  at("subtitle").textContent = "";
  document.title = "No answer · ipa explore";
  showProblem(problem);
  form?.mark(problem);
  document.body.classList.add("unanswered");  // figures of another question must not stand below this one
  at("status").textContent = "";
  return null;
}

// Ask the state's question and show the answer; `settled` (no slider is moving): write it to the address.
// Returns whether it was answered.
async function ask(settled, isNew = true) {
  if (isNew) leftOut = [];
  const state = {...form.state(), among};
  if (settled && isNew) address(state);
  const found = await asked(state);
  if (!found) return false;
  last = {state, number, answer: found};
  mark("");
  showProblem(leftOut.join("\n"));
  form.mark("");
  document.body.classList.remove("unanswered");
  show(found);
  showDifferences(found, pinned && {href: `#${toAddress(pinned.state)}`, text: label(pinned.state), isMeasured: !!pinned.state.measured});
  points.choose(state);
  if (settled) remember(state);
  for (const part of [inside, plan]) part.offer(found);
  lookInside();
  showPlan();
  document.body.dataset.answered = toAddress(state);  // tests wait for this
  return true;
}

// ---- the address ----

let written = 0, later = 0, pause = 0;

function address(state) {
  clearTimeout(later);
  const write = () => {
    written = performance.now();
    const hash = `#${toAddress({...state, pin: pinned?.state})}`;
    if (hash !== location.hash) history.pushState(null, "", hash);
  };
  const wait = written + ADDRESS_MS - performance.now();
  if (wait <= 0) write(); else later = setTimeout(write, wait);
}

async function open() {
  clearTimeout(later);  // what was to be written is left behind
  clearTimeout(pause);
  const state = fromAddress(location.hash);
  const {pin, ...current} = state;
  among = current.among ?? "";
  await Promise.all([form.show(current), points.show(among, post)]);
  leftOut = [];
  if (!pin || pinned && toAddress(pin) !== toAddress(pinned.state)) pinned = null;
  if (pin && !pinned) pinned = {state: pin, number: ++number};
  while (!await ask(true, false)) {
    const problem = at("problem").textContent, isOfPin = pinned && problem.startsWith("pinned: ");
    if (isOfPin) pinned = null;
    else if (!form.forget(problem)) break;
    leftOut.push(isOfPin ? `Not ${problem}` : problem);
  }
  at("unpin").hidden = !pinned;
}

// ---- history ----

function remember(state) {
  const entry = {hash: toAddress({...state, pin: pinned?.state}), text: label(state)};
  const before = history_.findIndex(each => each.hash === entry.hash);
  if (before >= 0) history_.splice(before, 1);
  history_ = [entry, ...history_].slice(0, MOST_HISTORY);
  sessionStorage.setItem("history", JSON.stringify(history_));
  at("history").replaceChildren(...history_.map((each, place) => {
    const item = document.createElement("li"), link = document.createElement("a");
    Object.assign(link, {href: `#${each.hash}`, textContent: each.text});
    if (place === 0) link.setAttribute("aria-current", "true");
    item.append(link);
    return item;
  }));
}

// ---- buttons ----

at("pin").addEventListener("click", () => {
  if (!canTake()) return;
  pinned = last;
  at("unpin").hidden = false;
  ask(true);
});
at("unpin").addEventListener("click", () => {
  pinned = null;
  at("unpin").hidden = true;
  ask(true);
  at("pin").focus();
});
at("csv").addEventListener("click", () => canTake() && save("explore.csv", toCsv(last.answer)));
for (const form of ["table", "report"]) at(form).addEventListener("click", async () => {
  if (!canTake()) return;
  at("status").textContent = "Making the file…";
  const found = await askedFurther("take", {form});
  at("status").textContent = "";
  if (found?.error) showProblem(found.error);
  else if (found) save(found.name, Uint8Array.from(atob(found.base64), each => each.charCodeAt(0)));
});

function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- parts that ask for more about the answer, once they are open ----

let further = 0;

async function askedFurther(path, more) {
  const mine = ++further;
  try {
    const {status, found} = await post(path, {tab: `${tab} ${path}`, number: mine, question: questionOf(last.state), ...more});
    if (status === 409) return null;
    return status === 200 ? found : {error: found.error};
  } catch {
    return null;  // the next question reports that the server has ended
  }
}

const lookInside = inside.setUp(async (policy, seed, before) => {
  const key = JSON.stringify([toAddress(last.state), policy, seed]);
  if (key === before) return null;
  const found = await askedFurther("inside", {policy, seed});
  return found && (found.error ? {key, problem: found.error} : {key, found});
});
points.setUp(question => { location.hash = toAddress({...question, among, pin: pinned?.state}); });
const showPlan = plan.setUp((policy, load) => last && askedFurther("plan", {policy, load}));

addEventListener("popstate", open);  // also after a link of this page was followed
at("question").addEventListener("submit", event => event.preventDefault());

// A narrow screen begins with the answer: the question is folded there.
const narrow = matchMedia("(max-width: 900px)");
const fold = () => { at("asking").open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();

try {
  const choices = await (await fetch("choices")).json();
  form = new Question(at("asked"), at("controls"), choices, {
    base: async what => {
      const {status, found} = await post("base", {what});
      return status === 200 ? found : null;  // the answer reports the error
    },
    changed: settled => {
      clearTimeout(pause);
      pause = setTimeout(ask, settled ? 0 : PAUSE_MS, settled);
    },
  });
  await open();
} catch (error) {
  said(`This page could not be set up: ${error.message}`);
}
