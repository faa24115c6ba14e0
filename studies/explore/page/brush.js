// A brush on parallel coordinates: dragged along an axis, or across several, it leaves the points that pass above or below
// it out; with shift another one is added, and a double click takes all away.

const HALF = 0.12;  // of the least width of a brush; axes are 1 apart
let boxes = [];  // the brushes, as plotly's selections
const whole = new WeakMap();  // data of a plot -> the places of its points

// A brush as a box with the axis nearest to it in it, as hardly anybody drags along an axis to the pixel; plotly makes a
// path, not a box, of a drag that is straight.
function onAxis({path, x0, x1, y0, y1, ...rest}, most) {
  const corners = path ? [...path.matchAll(/([^ML]+),([^ML]+)/g)].map(([, ...corner]) => corner.map(Number)) : [[x0, y0], [x1, y1]];
  const [xs, ys] = [0, 1].map(of => corners.map(corner => corner[of]));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const nearest = Math.max(0, Math.min(most, Math.round((left + right) / 2)));
  return {...rest, type: "rect", x0: Math.min(left, nearest - HALF), x1: Math.max(right, nearest + HALF), y0: Math.min(...ys), y1: Math.max(...ys)};
}

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
  const show = () => Plotly.relayout(plot, {dragmode: "select", selectdirection: "d", selections: boxes});
  for (const [event, left] of [["plotly_selected", () => plot.layout.selections ?? []], ["plotly_deselect", () => []]]) {
    plot.removeAllListeners(event);
    plot.on(event, async () => {
      boxes = left().map(box => onAxis(box, plot.layout.shapes.length - 1));
      await show();
      await apply();
    });
  }
  await show();
  await apply();
}
