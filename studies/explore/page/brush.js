// A brush on parallel coordinates: dragged across axes, it leaves the points that pass above or below it out; with shift
// another one is added, and a double click takes all away.

let boxes = [];  // the brushes, as plotly's selections
const whole = new WeakMap();  // data of a plot -> the places of its points

// Called after each drawing; `leaveOut` gets the indices of the points that are left out.
export async function brush(plot, leaveOut) {
  if (matchMedia("(pointer: coarse)").matches) return;  // there, dragging scrolls the page
  const {data} = plot;
  if (!whole.has(data)) whole.set(data, data.map(({y}) => y));
  const isOut = (x, y) => boxes.some(({x0, x1, y0, y1}) => (x - x0) * (x - x1) <= 0 && (y - y0) * (y - y1) > 0);
  const apply = () => {
    const places = whole.get(data), out = new Set();
    data.forEach(({x, customdata}, of) => x.forEach((axis, at) => axis !== null && isOut(axis, places[of][at]) && out.add(customdata[at])));
    leaveOut(out);
    const y = data.map(({customdata}, of) => places[of].map((each, at) => out.has(customdata[at]) ? null : each));
    return Plotly.restyle(plot, {y, "unselected.marker.opacity": 1});
  };
  for (const [event, left] of [["plotly_selected", () => plot.layout.selections ?? []], ["plotly_deselect", () => []]]) {
    plot.removeAllListeners(event);
    plot.on(event, () => { boxes = left(); apply(); });
  }
  await Plotly.relayout(plot, {dragmode: "select", selections: boxes});
  await apply();
}
