// Figures as the server makes them, those of reports; kit.js draws them once they are in view.
import {made} from "./answer.js";

const known = new Map();  // name of a figure -> its elements

// Show these figures in a box, in place of those that stand there.
export function show(box, plots) {
  box.replaceChildren(...plots.map(({name, title, note, words, spec, least_width}) => {
    if (!known.has(name)) known.set(name, place(name));
    const {figure, heading, reading, plot, script} = known.get(name), text = JSON.stringify(spec);
    heading.textContent = title;
    reading.textContent = note;
    plot.style.minWidth = `${least_width}px`;
    plot.style.height ||= `${spec.layout.height}px`;
    plot.setAttribute("aria-label", words);
    if (text !== script.textContent) {
      script.textContent = text;
      queueMicrotask(() => plot.dispatchEvent(new Event("changed", {bubbles: true})));  // it is in the page then
    }
    return figure;
  }));
}

function place(name) {
  const heading = made("h3"), reading = made("p", {className: "muted"}), script = made("script", {type: "application/json"});
  const plot = made("div", {id: `plot-${name}`, className: "plot", role: "img"});
  return {figure: made("figure", {}, heading, reading, plot, script), heading, reading, plot, script};
}
