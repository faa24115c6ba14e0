// A control of a key about variants: a small control for each variant edits the text.
import {Control, made} from "./control.js";

// By kind: a variant's control; conversions of a stage's value in the text to variant -> text, and back.
const KINDS = {
  factors: {
    about: {unit: "×"}, usual: "1", range: {low: 0.1, high: 10, log: true}, none: {},
    read: of => of, write: texts => Object.fromEntries(texts.map(([name, text]) => [name, Number.isNaN(Number(text)) ? text : Number(text)])),
  },
  names: {
    about: {words: ["left out"]}, usual: "used", range: null, none: [],
    read: of => Object.fromEntries(of.map(name => [name, "left out"])), write: texts => texts.map(([name]) => name),
  },
};

export class ByVariant extends Control {
  constructor(about, changed) {
    super(about, changed);
    this.kind = KINDS[about.kind];
    this.parts = [];
    this.offered = made("div", {className: "variants"});
    this.element.append(this.offered);
  }

  // `variants`: stage -> the names of its variants.
  offer(variants) {
    this.parts = [];
    this.offered.replaceChildren(...Object.entries(variants).map(([stage, names]) => {
      const parts = names.map(name => ({stage, name, control: new Control({name, ...this.kind.about}, settled => this.write(settled))}));
      this.parts.push(...parts);
      for (const {control} of parts) control.usual(this.kind.usual, this.kind.range);
      return made("fieldset", {}, made("legend", {textContent: stage}), ...parts.map(each => each.control.element));
    }));
  }

  write(settled) {
    const stages = [...new Set(this.parts.map(each => each.stage))];
    const said = stages.map(stage => [stage, this.parts.filter(each => each.stage === stage && each.control.value !== "").map(each => [each.name, each.control.value])]);
    const whole = JSON.stringify(Object.fromEntries(said.filter(([, texts]) => texts.length).map(([stage, texts]) => [stage, this.kind.write(texts)])));
    this.set(whole === JSON.stringify(JSON.parse(this.least || "{}")) ? "" : whole);
    this.changed(settled);
  }

  // A text that is no JSON is left as it is.
  show() {
    super.show();
    if (!this.parts) return;
    try {
      const found = JSON.parse(this.value || this.least || "{}");
      const texts = this.parts.map(({stage, name}) => String(this.kind.read(found[stage] ?? this.kind.none)[name] ?? ""));
      this.parts.forEach(({control}, place) => { if (control.value !== texts[place]) control.set(texts[place]); });
      this.offered.hidden = false;
    } catch {
      this.offered.hidden = true;
    }
  }
}
