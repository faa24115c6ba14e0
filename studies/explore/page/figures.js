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

// Policies of the answer, then those of the pin, each with how it is drawn.
const drawn = (answer, pinned) => [
  ...answer.policies.map((each, place) => ({...each, of: colour(place), name: each.policy, isPin: false})),
  ...(pinned?.policies ?? []).map((each, place) => ({...each, of: colour(place), name: `${each.policy} (pinned)`, isPin: true})),
];

const DRAW = {
  plane(all) {
    const bar = ({mean, low, high}, of) => low === null ? undefined : {type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color: of, thickness: 1.3, width: 4};
    const points = all.filter(each => each.estimates.PAS.mean !== null).map(each => {
      const {PAS, cores} = each.estimates;
      return {type: "scatter", mode: "markers+text", x: [cores.mean], y: [PAS.mean], text: [safe(each.name)], textposition: each.isPin ? "bottom center" : "top center", textfont: {size: 11}, cliponaxis: false,
        error_x: bar(cores, each.of), error_y: bar(PAS, each.of), marker: {size: 12, color: each.of, symbol: each.isPin ? "circle-open" : "circle"},
        hovertemplate: `${safe(each.name)}<br>%{x:.2f} cores, PAS %{y:.2f}<extra></extra>`};
    });
    const range = values => { const low = Math.min(...values), high = Math.max(...values), room = Math.max((high - low) * 0.35, high * 0.03, 0.05); return [Math.max(0, low - room), high + room]; };
    const x = points.flatMap(each => each.x), y = points.flatMap(each => each.y);
    return [points, layout({x: {title: "cores", range: range(x)}, y: {title: "PAS", range: range(y)}})];
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
      const known = each.curves.variants[stage], rank = known.indexOf(variant);  // a mix is none of them
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

// Draw every figure, one after the other so that the page answers meanwhile; a newer call ends an older one.
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
    await Plotly.react(plot, traces, wanted, CONFIG);
    if (mine !== call) return;
  }
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
}

// The plans for a load: the Pareto front with the plan that is taken, and the plan against the load.
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
    await Plotly.react(at(`plot-${name}`), traces, wanted, CONFIG);
  }
}
