// The question: a control for every key and parameter, built from the server's descriptions; the state as a value
// {from, policies, seeds, values}, and as an address; `among`: the folder whose points are shown too; a pin may be the
// measurements of a live run, {measured}.
import {around, Control, made} from "./control.js";
import {ByVariant} from "./variants.js";

// ---- addresses ----

export function toAddress({from, policies, seeds, values, among, pin, measured}) {
  if (measured) return new URLSearchParams({measured}).toString();
  const found = new URLSearchParams({from});
  for (const policy of policies) found.append("policy", policy);
  if (String(seeds) !== "1") found.set("seeds", seeds);
  for (const key of Object.keys(values).sort()) found.set(key, values[key]);
  if (among) found.set("among", among);
  if (pin) found.set("pin", toAddress(pin));
  return found.toString();
}

export function fromAddress(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, "")), values = {};
  if (given.get("measured")) return {measured: given.get("measured")};
  for (const [key, value] of given) if (!["from", "policy", "seeds", "among", "pin"].includes(key)) values[key] = value;
  const state = {from: given.get("from") || "video", policies: given.getAll("policy"), seeds: given.get("seeds") || "1", values};
  if (given.get("among")) state.among = given.get("among");
  if (given.get("pin")) state.pin = fromAddress(given.get("pin"));
  return state;
}

export function label({from, policies, seeds, values, measured}) {
  if (measured) return `measured live, ${measured}`;
  const set = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  return [from, policies.join(", "), seeds > 1 ? `${seeds} seeds` : "", set.join(" ")].filter(Boolean).join(" · ");
}

// ---- a policy and the parameters behind its name, as on the command line ----

const PARAMETER = /\s+[A-Za-z_][\w.]*=(?:"(?:[^"\\]|\\.)*"|'[^']*'|(?!\s+[A-Za-z_][\w.]*=)[^])*/g;

export function split(spec) {
  const parameters = {};
  for (const text of spec.match(PARAMETER) ?? []) {
    const [name, ...rest] = text.trim().split("=");
    parameters[name] = rest.join("=");
  }
  return {name: spec.replace(PARAMETER, "").trim(), parameters};
}

const joined = ({name, parameters}) =>
  [name, ...Object.entries(parameters).filter(([, text]) => text !== "").map(([key, text]) => `${key}=${text}`)].join(" ");

// Whether an error is about a key.
const isNamed = (key, problem) => [":", ".", "="].some(end => problem.replace(/^--set /, "").startsWith(key + end));

// ---- the form ----

export class Question {
  constructor(asked, controls, choices, {base, changed}) {
    Object.assign(this, {asked, choices, base, changed, rows: []});
    for (const [id, words] of Object.entries({pipelines: choices.pipelines, loads: choices.loads, policies: Object.keys(choices.policies)}))
      asked.append(made("datalist", {id}, ...words.map(value => made("option", {value}))));
    this.from = new Control({name: "Pipeline or file", list: "pipelines"}, async settled => { await this.rebase(); changed(settled); });
    this.seeds = new Control({name: "Seeds", help: `runs of each policy, at most ${choices.most.seeds}`}, changed);
    this.all = controls;
    this.policies = made("div");
    const add = made("button", {type: "button", textContent: "Add a policy", id: "add-policy"});
    add.addEventListener("click", () => this.add());
    this.choosing = made("fieldset", {}, made("legend", {textContent: "Policies"}), this.policies, add);
    asked.append(this.from.element, this.choosing, this.seeds.element);
    this.build(choices.controls);
  }

  // Make the controls that are described, in place of others; a fleet describes its own.
  build(described) {
    this.described = described;
    this.controls = new Map();
    const sections = new Map(), isOfFleet = described !== this.choices.controls;
    for (const about of described) {
      const Kind = ["factors", "names"].includes(about.kind) ? ByVariant : Control;
      const control = new Kind({...about, name: about.key, list: about.list ?? (about.key === "trace" ? "loads" : "")}, this.changed);
      this.controls.set(about.key, {control, about});
      if (!sections.has(about.section)) sections.set(about.section, made("details", {}, made("summary", {textContent: about.section})));
      sections.get(about.section).append(control.element);
    }
    const first = ["Load", "World", "Variants"], rest = [...sections.keys()].filter(each => !first.includes(each));
    this.all.replaceChildren(...[...first, ...rest].filter(each => sections.has(each)).map(each => sections.get(each)));
    for (const [title, section] of sections) section.open = innerWidth > 900 && (isOfFleet || ["Load", "World"].includes(title));
  }

  // Show a state; what it leaves out is the default.
  async show(state) {
    if (this.from.value !== state.from || !this.known) {
      this.from.set(state.from);
      await this.rebase();
    }
    this.seeds.set(String(state.seeds) === "1" ? "" : String(state.seeds));
    for (const [key, {control}] of this.controls) control.set(state.values[key] ?? "");
    this.other = Object.fromEntries(Object.entries(state.values).filter(([key]) => !this.controls.has(key)));
    const given = state.policies.length ? state.policies : [""];
    if (JSON.stringify(given) !== JSON.stringify(this.rows.map(row => row.spec.value))) {
      this.rows = [];
      this.policies.replaceChildren();
      given.forEach(each => this.add(each));
    }
  }

  state() {
    const values = {...this.other};
    for (const [key, {control}] of this.controls) if (control.value !== "") values[key] = control.value;
    const given = this.isOfFleet ? [] : this.rows.map(row => row.spec.value).filter(Boolean);
    // If there are several policies, an empty first one is replaced by the scenario's own.
    const policies = given.length && !this.rows[0].spec.value ? [this.known?.policy ?? "", ...given] : given;
    return {from: this.from.value || "video", policies, seeds: this.seeds.value || "1", values};
  }

  // Ask the server for the pipeline's defaults.
  async rebase() {
    this.known = await this.base(this.from.value || "video");
    const described = this.known?.controls ?? this.choices.controls;
    if (JSON.stringify(described) !== JSON.stringify(this.described)) this.build(described);
    this.choosing.hidden = this.isOfFleet;  // each pipeline of a fleet has its own policy
    this.from.text = (this.known?.description ?? "").replace(/\.$/, "");
    this.from.usual("");
    this.seeds.usual("1", {low: 1, high: 20, step: 1});
    for (const [key, {control, about}] of this.controls) {
      const said = this.known?.values[key] ?? "", usual = this.known?.usual[key] ?? Number(said || NaN);
      const numeric = ["number", "whole"].includes(about.kind) && key !== "seed";
      control.offer?.(this.known?.variants ?? {});
      control.usual(said || (key in (this.known?.usual ?? {}) ? String(usual) : ""), numeric ? around(usual, about) : null);
    }
    for (const row of this.rows) this.parameters(row);
  }

  get isOfFleet() { return !!this.known?.controls; }

  add(given) {
    const colour = `var(--c${this.rows.length % 16})`;
    const row = {spec: new Control({name: `Policy ${this.rows.length + 1}`, list: "policies"}, settled => { this.parameters(row); this.changed(settled); })};
    row.spec.usual(this.known?.policy ?? "");
    row.spec.undo.title = "Remove this policy";
    row.spec.undo.setAttribute("aria-label", row.spec.undo.title);
    row.details = made("details", {}, made("summary", {textContent: "Parameters"}));
    row.element = made("div", {className: "policy"}, row.spec.element, row.details);
    row.element.style.borderLeftColor = colour;
    row.spec.undo.addEventListener("click", () => { if (this.rows.length > 1) this.remove(row); });
    this.rows.push(row);
    this.policies.append(row.element);
    row.spec.set(given ?? "");
    this.parameters(row);
    if (given === undefined) row.spec.input.focus();
  }

  remove(row) {
    const specs = this.rows.filter(each => each !== row).map(each => each.spec.value);
    this.rows = [];
    this.policies.replaceChildren();
    specs.forEach(each => this.add(each));
    this.asked.querySelector("#add-policy").focus();
    this.changed(true);
  }

  // The controls of a policy's parameters, which edit the text after its name.
  parameters(row) {
    const spec = split(row.spec.value || this.known?.policy || "");
    const manual = this.choices.policies[spec.name.split(":")[0]];
    row.spec.text = (manual?.summary ?? "").replace(/\.$/, "");
    row.spec.usual(this.known?.policy ?? "");
    row.details.hidden = !manual?.parameters.length;
    if (row.shown !== spec.name) {
      row.shown = spec.name;
      row.controls = (manual?.parameters ?? []).map(about => {
        const control = new Control({...about, words: about.range?.words ?? []}, settled => {
          const now = split(row.spec.value || this.known?.policy || "");
          now.parameters[about.name] = control.value;
          row.spec.set(joined(now));
          this.changed(settled);
        });
        return {about, control};
      });
      row.details.replaceChildren(row.details.firstChild, ...row.controls.map(each => each.control.element));
    }
    for (const {about, control} of row.controls ?? []) {
      const usual = this.known?.usual[about.name], range = about.range?.words ? null : about.range;
      const said = usual ?? (about.default === "None" ? "" : (about.default ?? "").replace(/^'(.*)'$/, "$1"));
      control.usual(String(said), range ?? around(Number(usual), {}));
      control.set(spec.parameters[about.name] ?? "");
    }
  }

  // Leave out a key of the address that has no control, if an error names it; returns whether there was one.
  forget(problem) {
    const key = Object.keys(this.other).find(each => isNamed(each, problem));
    return key !== undefined && delete this.other[key];
  }

  // Mark only the control that an error names.
  mark(problem) {
    const key = [...this.controls.keys()].find(each => isNamed(each, problem));
    const wrong = this.controls.get(key)?.control ?? (isNamed("seeds", problem) ? this.seeds : null);
    for (const each of [this.seeds, ...[...this.controls.values()].map(found => found.control)]) {
      each.element.classList.toggle("wrong", each === wrong);
      each.input.toggleAttribute("aria-invalid", each === wrong);
    }
    wrong?.element.closest("details")?.setAttribute("open", "");
  }
}
