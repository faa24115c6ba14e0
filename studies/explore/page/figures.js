// The figures of an answer, drawn by plotly in the colours of the page's theme; a pinned answer is dotted, or hollow.

const at = id => document.getElementById(id);
const CONFIG = {displaylogo: false, responsive: true, displayModeBar: false};
const BANDS = 34;  // the height of one policy's band [pixels]

const FIGURES = {
  plane: ["Accuracy against cost", "up is more accurate, left is cheaper; bars: 95 % intervals"],
  load: ["Load and forecast", "grey: requests that arrived; lines: what was forecast"],
  cores: ["Cores", "of all replicas that exist; dotted: decided"],
  latency: ["Latency over time", "p99 of the requests that arrived in each interval; red: the SLA"],
  distribution: ["Latency of all requests", "the share that took no longer; red: the SLA"],
  variants: ["Variants", "what each stage was given, the more accurate the stronger; the pointer shows batch and replicas"],
};

let colours;

function themed() {
  const style = getComputedStyle(document.documentElement);
  colours = name => style.getPropertyValue(`--${name}`).trim();
}

const colour = place => colours(`c${place % 16}`);

function layout(more = {}) {
  const axis = title => ({title: {text: title, standoff: 8}, gridcolor: colours("grid"), linecolor: colours("line"), zeroline: false, automargin: true});
  const {x, y, ...rest} = more;
  return {
    height: 300, margin: {l: 52, r: 12, t: 10, b: 42}, paper_bgcolor: colours("back"), plot_bgcolor: colours("back"),
    font: {family: "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif", size: 12, color: colours("text")},
    hoverlabel: {font: {size: 12}}, showlegend: false, uirevision: true,
    xaxis: {...axis(x?.title ?? "time (s)"), ...x}, yaxis: {...axis(y?.title ?? ""), ...y, title: {text: y?.title ?? "", standoff: 8}}, ...rest,
  };
}

const line = (curve, name, of, more = {}) => ({
  type: "scatter", mode: "lines", x: curve.x, y: curve.y, name, line: {color: of, width: 1.6, ...more.line}, hovertemplate: `%{y:.4g}<extra>${safe(name)}</extra>`, ...more.trace,
});
const safe = text => text.replace(/[<>&]/g, " ");
const across = (value, axis) => ({type: "line", [axis]: [value, value], [`${axis}0`]: value, [`${axis}1`]: value, [`${axis === "y" ? "x" : "y"}ref`]: "paper",
  [`${axis === "y" ? "x" : "y"}0`]: 0, [`${axis === "y" ? "x" : "y"}1`]: 1, line: {color: colours("bad"), width: 1.2}});
const sla = (value, axis) => { const found = across(value, axis); delete found[axis]; return found; };

// The policies of the answer, then those of the pinned one, each with its style.
const drawn = (answer, pinned) => [
  ...answer.policies.map((each, place) => ({...each, of: colour(place), name: each.policy, isPin: false})),
  ...(pinned?.policies ?? []).map((each, place) => ({...each, of: colour(place), name: `${each.policy} (${pinned.name ?? "pinned"})`, isPin: true})),
];

// The names of points, joined for coinciding points: above them, or below if there is no room or another name.
// `pixels`: the size of the plane, `ranges` of its axes.
function named(points, names, pixels, ranges) {
  const at = (point, axis) => pixels[axis] * (point[axis][0] - ranges[axis][0]) / (ranges[axis][1] - ranges[axis][0]);
  const groups = [];
  points.forEach((point, place) => {
    const group = groups.find(each => ["x", "y"].every(axis => Math.abs(at(each.point, axis) - at(point, axis)) < TOUCHING));
    if (group) group.names.push(names[place]); else groups.push({point, names: [names[place]]});
  });
  const boxes = [];
  for (const group of groups) {
    const {point, names: of} = group, half = LETTER * Math.max(...of.map(([name]) => name.length)) / 2, high = LINE * of.length + TOUCHING;
    const [x, y] = ["x", "y"].map(axis => at(point, axis));
    const sides = [["top center", y, y + high], ["bottom center", y - high, y]];
    const isFree = ([, low, top]) => low >= 0 && top <= pixels.y && !boxes.some(box => Math.abs(box.x - x) < box.half + half && box.low < top && low < box.top);
    const [side, low, top] = sides.find(isFree) ?? sides[0];
    boxes.push({x, half, low, top});
    point.textposition = side;
    point.text = [of.map(([name, colour]) => of.length < 2 ? name : `<span style="color:${colour}">${name}</span>`).join("<br>")];
  }
}
const TOUCHING = 10, LETTER = 6.2, LINE = 14;  // pixels

const DRAW = {
  plane(all) {
    const bar = ({mean, low, high}, of) => low === null ? undefined : {type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color: of, thickness: 1.3, width: 4};
    const shown = all.filter(each => each.estimates.PAS.mean !== null);
    const points = shown.map(each => {
      const {PAS, cores} = each.estimates;
      return {type: "scatter", mode: "markers+text", x: [cores.mean], y: [PAS.mean], textposition: "top center", textfont: {size: 11}, cliponaxis: false,
        error_x: bar(cores, each.of), error_y: bar(PAS, each.of), marker: {size: 12, color: each.of, symbol: each.isPin ? "circle-open" : "circle"},
        hovertemplate: `${safe(each.name)}<br>%{x:.2f} cores, PAS %{y:.2f}<extra></extra>`};
    });
    const range = values => { const low = Math.min(...values), high = Math.max(...values), room = Math.max((high - low) * 0.35, high * 0.03, 0.05); return [Math.max(0, low - room), high + room]; };
    const x = range(points.flatMap(each => each.x)), y = range(points.flatMap(each => each.y));
    named(points, shown.map(each => [safe(each.name), each.of]), {x: at("plot-plane").clientWidth - 64, y: 248}, {x, y});
    return [points, layout({x: {title: "cores", range: x}, y: {title: "PAS", range: y}})];
  },
  load(all) {
    const first = all[0].curves?.load;
    const lines = first ? [line(first, "arrivals", colours("load"), {line: {width: 1, shape: "hv"}, trace: {fill: "tozeroy", fillcolor: colours("grid")}})] : [];
    for (const each of all) if (each.curves?.forecast) lines.push(line(each.curves.forecast, each.name, each.of, {line: {shape: "hv", dash: each.isPin ? "dot" : "solid"}}));
    return [lines, layout({y: {title: "requests per second", rangemode: "tozero"}, hovermode: "x"})];
  },
  cores(all) {
    const lines = all.filter(each => each.curves).flatMap(each => [
      line(each.curves.existing, each.name, each.of, {line: {shape: "hv", dash: each.isPin ? "dash" : "solid"}}),
      ...(each.curves.decided && !each.isPin ? [line(each.curves.decided, `${each.name}, decided`, each.of, {line: {shape: "hv", dash: "dot", width: 1}, trace: {hoverinfo: "skip", hovertemplate: null}})] : []),
    ]);
    return [lines, layout({y: {title: "cores", rangemode: "tozero"}, hovermode: "x"})];
  },
  latency(all, {sla_s}) {
    const lines = all.filter(each => each.curves).map(each => line({x: each.curves.latency.x, y: each.curves.latency.p99}, each.name, each.of, {line: {dash: each.isPin ? "dot" : "solid"}}));
    return [lines, layout({y: {title: "p99 (s)", rangemode: "tozero"}, hovermode: "x", shapes: [sla(sla_s, "y")]})];
  },
  distribution(all, {sla_s}) {
    const lines = all.filter(each => each.curves).map(each => line(each.curves.distribution, each.name, each.of, {line: {dash: each.isPin ? "dot" : "solid"}}));
    return [lines, layout({x: {title: "latency (s)", rangemode: "tozero"}, y: {title: "% of requests", range: [0, 101]}, shapes: [sla(sla_s, "x")]})];
  },
  variants(all) {
    const shown = all.filter(each => each.curves && !each.isPin), stages = Object.keys(shown[0]?.curves.stages ?? {});
    const rows = stages.flatMap(stage => shown.map(each => ({stage, each})));
    const names = rows.map(({stage, each}) => shown.length > 1 ? `${safe(stage)}<br>${safe(each.name)}` : stage);
    const bars = rows.flatMap(({stage, each}, place) => each.curves.stages[stage].map(([start, end, variant, batch, replicas]) => {
      const known = each.curves.variants[stage], rank = known.indexOf(variant);  // -1 for a mix
      const depth = known.length < 2 ? 1 : Math.round(4 * Math.max(rank, 0) / (known.length - 1));
      return {place, start, length: end - start, variant, shade: `v${stages.indexOf(stage) % 4}${depth}`, on: depth < 2 ? "on-light" : "on-dark", text: `${safe(variant)}, batch ${batch}, ${replicas} ${replicas === 1 ? "replica" : "replicas"}`};
    }));
    const of = shade => bars.filter(bar => bar.shade === shade);
    const traces = [...new Set(bars.map(bar => bar.shade))].map(shade => ({
      type: "bar", orientation: "h", base: of(shade).map(bar => bar.start), x: of(shade).map(bar => bar.length), y: of(shade).map(bar => names[bar.place]), width: 0.8,
      customdata: of(shade).map(bar => bar.text), marker: {color: colours(shade), line: {color: colours("back"), width: 0.5}}, hovertemplate: "%{customdata}<br>from %{base:.0f} s<extra></extra>",
      text: of(shade).map(bar => safe(bar.variant)), textposition: "inside", insidetextanchor: "start", textangle: 0, constraintext: "inside", textfont: {color: colours(of(shade)[0].on)},
    }));
    const height = 70 + BANDS * rows.length;
    return [traces, layout({height, barmode: "overlay", y: {autorange: "reversed", type: "category", tickfont: {size: 10.5}}, uniformtext: {mode: "hide", minsize: 10}})];
  },
};

// Draw all figures one by one, so that the page stays responsive; a newer call ends an older one.
let call = 0;
export async function drawAll(answer, pinned) {
  const mine = ++call;
  themed();
  const all = drawn(answer, pinned);
  const names = answer.policies.map(each => each.policy).join(", ");
  for (const [name, [title, reading]] of Object.entries(FIGURES)) {
    if (!at(`plot-${name}`)) place("plots", name, title, reading);
    const [traces, wanted] = DRAW[name](all, answer.made);
    const plot = at(`plot-${name}`);
    plot.style.height = `${wanted.height}px`;
    plot.setAttribute("aria-label", `${title} of ${names}: ${reading}`);
    await react(plot, traces, wanted);
    if (mine !== call) return;
  }
}

// Draw a figure, unless it is already shown.
const standing = new WeakMap();
async function react(plot, traces, wanted) {
  const text = JSON.stringify([traces, wanted]);
  if (standing.get(plot) === text) return;
  standing.set(plot, text);
  await Plotly.react(plot, traces, wanted, CONFIG);
}

// ---- the points of a sweep or a study: parallel coordinates ----

const AXIS_WIDTH = 108, LONGEST = 17, SHADES = 4;
const cut = text => safe(text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

// An axis: its name, and for each point its text and its place from 0 to 1.
function axisOf({name, values}) {
  const isNumber = values.every(each => each === null || typeof each === "number");
  const text = each => each === null || each === "" ? "–" : typeof each === "string" ? each : typeof each === "number" ? String(Number(each.toPrecision(4))) : JSON.stringify(each);
  const texts = values.map(text), levels = [...new Set(texts)];
  const known = values.filter(each => each !== null), low = Math.min(...known), high = Math.max(...known);
  const isLine = isNumber && low < high && known.length === values.length;
  const place = isLine ? values.map(each => (each - low) / (high - low)) : texts.map(each => levels.length < 2 ? 0.5 : levels.indexOf(each) / (levels.length - 1));
  const ticks = isLine ? [[0, text(low)], [1, text(high)]] : levels.length > 12 ? [] : levels.map((each, of) => [levels.length < 2 ? 0.5 : of / (levels.length - 1), each]);
  return {name, texts, place, ticks};
}

// `columns`: {name, values}; `shade`: the column whose values are the colour; `chosen`: the index of a point, or -1.
export async function drawPoints(columns, shade, chosen, pick) {
  themed();
  const plot = at("plot-points") ?? place("points-figure", "points", "All keys and figures at once", "a line is a point, the stronger the more cores; a click on one of its dots asks it; orange: the one asked");
  const axes = columns.map(axisOf), count = axes[0].place.length;
  const order = axisOf(shade).place.map(each => Math.min(SHADES - 1, Math.floor(each * SHADES)));
  const words = of => axes.map(each => `${safe(each.name)} ${safe(each.texts[of])}`).join("<br>");
  const lines = (which, of, width) => ({
    type: "scatter", mode: "lines+markers", x: which.flatMap(() => [...axes.keys(), null]), y: which.flatMap(each => [...axes.map(axis => axis.place[each]), null]),
    customdata: which.flatMap(each => [...axes.map(() => each), null]), text: which.flatMap(each => [...axes.map(() => words(each)), ""]),
    line: {color: of, width}, marker: {size: width * 3 + 2, color: of}, hovertemplate: "%{text}<extra></extra>", cliponaxis: false,
  });
  const traces = [...Array(SHADES).keys()].map(each => lines([...Array(count).keys()].filter(of => order[of] === each && of !== chosen), colours(`v0${each + 1}`), 1.2));
  if (chosen >= 0) traces.push(lines([chosen], colour(1), 2.6));
  const mark = (x, y, text, more) => ({x, y, text, showarrow: false, font: {size: 11}, bgcolor: colours("back"), borderpad: 1, ...more});
  const annotations = axes.flatMap((axis, x) => [mark(x, 1.1, `<b>${cut(axis.name)}</b>`, {yanchor: "bottom"}), ...axis.ticks.map(([y, text]) => mark(x, y, cut(text), {xanchor: "left", xshift: 6, opacity: 0.9}))]);
  const shapes = axes.map((_, x) => ({type: "line", x0: x, x1: x, y0: 0, y1: 1, line: {color: colours("line"), width: 1}, layer: "below"}));
  plot.parentElement.style.minWidth = `${AXIS_WIDTH * axes.length}px`;
  const none = {visible: false, fixedrange: true};
  plot.setAttribute("aria-label", `All keys and figures of ${count} points at once; the table below has the same`);
  await react(plot, traces, layout({annotations, shapes, hovermode: "closest", margin: {l: 30, r: 30, t: 14, b: 14}, x: {...none, range: [-0.35, axes.length - 0.35]}, y: {...none, range: [-0.06, 1.24]}}));
  plot.removeAllListeners("plotly_click");
  plot.on("plotly_click", ({points: [found]}) => pick(found.customdata));
}

function place(where, name, title, reading) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const small = document.createElement("small"), plot = document.createElement("div");
  small.textContent = reading;
  caption.append(title, small);
  Object.assign(plot, {id: `plot-${name}`, className: "plot"});
  plot.setAttribute("role", "img");
  figure.append(caption, plot);
  at(where).append(figure);
  return plot;
}

// The plans for a load: the Pareto front with the chosen plan, and the plan against the load.
export async function drawPlan({front, chosen, over, load_rps}) {
  themed();
  const hover = each => safe(each.words).replaceAll("; ", "<br>");
  const dots = {
    type: "scatter", mode: "lines+markers", x: front.map(each => each.cores), y: front.map(each => each.pas), text: front.map(hover),
    line: {color: colours("line"), width: 1}, marker: {size: front.map(each => each.chosen ? 15 : 9), color: front.map(each => colour(each.chosen ? 1 : 0))},
    hovertemplate: "%{text}<br>%{x} cores, PAS %{y:.2f}<extra></extra>",
  };
  const taken = {...dots, mode: "markers", x: [chosen.cores], y: [chosen.pas], text: [hover(chosen)], marker: {size: 15, color: colour(1), symbol: "circle-open", line: {width: 3}}};
  const steps = {...line({x: over.map(each => each.load_rps), y: over.map(each => each.cores)}, "", colour(0), {line: {shape: "hv"}}), text: over.map(hover),
    hovertemplate: "for %{x:.3g} rps: %{y} cores<br>%{text}<extra></extra>"};
  for (const [name, title, reading, traces, wanted] of [
    ["front", "All plans worth having", `for ${load_rps} requests per second; ringed: the plan taken`, [dots, taken], layout({x: {title: "cores"}, y: {title: "PAS"}})],
    ["over", "The plan against the load", "the cores of the plan taken for each load", [steps], layout({x: {title: "requests per second"}, y: {title: "cores", rangemode: "tozero"}})],
  ]) {
    if (!at(`plot-${name}`)) place("plan-figures", name, title, reading);
    at(`plot-${name}`).setAttribute("aria-label", `${title}: ${reading}`);
    at(`plot-${name}`).previousElementSibling.querySelector("small").textContent = reading;
    await react(at(`plot-${name}`), traces, wanted);
  }
}
