// A control: one value as text, its allowed words, and an optional slider.

let counted = 0;

export function made(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

// A slider's scale: converts its position (0 to 1) to a value and back.
function scaleOf({low, high, step, log}) {
  const value = log ? part => low * (high / low) ** part : part => low + (high - low) * part;
  const part = log ? of => Math.log(of / low) / Math.log(high / low) : of => (of - low) / (high - low);
  const whole = step ? of => low + Math.round((of - low) / step) * step : of => of;
  return {value: at => String(Number(whole(value(at)).toPrecision(3))), part};
}

// A tenth to ten times the usual value, for a number without a range of its own.
export function around(usual, {kind, least, most}) {
  if (!(usual > 0)) return null;
  const low = Math.max(usual / 10, kind === "whole" ? Math.max(least ?? 1, 1) : 0), high = Math.min(usual * 10, most ?? Infinity);
  return low < high ? {low, high, step: kind === "whole" ? 1 : null, log: true} : null;
}

// One value: a text or a choice, optionally with a slider; empty: the default. `changed(settled)`; `settled`: no slider is moving.
export class Control {
  constructor({name, unit = "", help = "", words = [], list = ""}, changed) {
    const id = `control-${++counted}`;
    this.name = name;
    this.input = words.length ? made("select", {id}, made("option", {value: ""}), ...words.map(word => made("option", {value: word, textContent: word})))
      : made("input", {id, type: "text", autocomplete: "off", spellcheck: false});
    if (list) this.input.setAttribute("list", list);
    this.input.setAttribute("aria-describedby", `${id}-help`);
    this.undo = made("button", {type: "button", textContent: "×", hidden: true, title: `${name}: back to the default`});
    this.undo.setAttribute("aria-label", this.undo.title);
    this.label = made("label", {htmlFor: id}, `${name} `, made("small", {textContent: unit}));
    this.help = made("p", {className: "help", id: `${id}-help`});
    this.element = made("div", {className: "control"}, this.label, made("div", {className: "row"}, this.input, this.undo), this.help);
    this.text = help.replace(/\.$/, "");
    this.changed = changed;
    this.input.addEventListener("change", () => this.told(true));
    this.undo.addEventListener("click", () => { this.set(""); this.told(true); this.input.focus(); });
  }

  told(settled) { this.show(); this.changed(settled); }

  get value() { return this.input.value.trim(); }

  set(text) {
    if (this.input.tagName === "SELECT" && ![...this.input.options].some(each => each.value === text))
      this.input.append(made("option", {value: text, textContent: text}));
    this.input.value = text;
    this.show();
  }

  // Set the default, and the range of a slider, if there is one.
  usual(text, range) {
    const said = text === "" ? "" : `default ${text}`;
    if (this.input.tagName === "SELECT") this.input.options[0].textContent = said || "default";
    else this.input.placeholder = text;
    this.help.textContent = [this.text, this.text.includes("default") ? "" : said].filter(Boolean).join("; ");
    this.least = text;
    this.scale = range && scaleOf(range);
    if (this.scale && !this.slider) {
      this.slider = made("input", {type: "range", min: 0, max: 1, step: 0.005});
      this.slider.setAttribute("aria-label", `${this.name}, slider`);
      this.slider.addEventListener("input", () => { this.input.value = this.scale.value(Number(this.slider.value)); this.told(false); });
      this.slider.addEventListener("change", () => this.told(true));
      this.help.before(this.slider);
    } else if (!this.scale && this.slider) {
      this.slider.remove();
      this.slider = null;
    }
    this.show();
  }

  show() {
    this.undo.hidden = this.value === "";
    this.element.classList.toggle("set", this.value !== "");
    if (!this.slider) return;
    const part = this.scale.part(Number(this.value || this.least));
    if (document.activeElement !== this.slider) this.slider.value = Number.isFinite(part) ? part : 0.5;
    this.slider.setAttribute("aria-valuetext", this.value || `default ${this.least}`);
  }
}
