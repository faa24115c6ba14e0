// The answer without its figures: the table, the differences from a pinned answer, and the downloads.

const at = id => document.getElementById(id);

export function made(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

function table(columns, rows) {
  const head = made("tr", {}, ...columns.map(text => made("th", {scope: "col", textContent: text})));
  for (const row of rows) row.forEach((cell, place) => { cell.dataset.heading = columns[place]; });
  return made("table", {}, made("thead", {}, head), made("tbody", {}, ...rows.map(row => made("tr", {}, ...row))));
}

const patch = place => {
  const found = made("i", {className: "patch"});
  found.style.background = `var(--c${place % 16})`;
  return found;
};

export function showProblem(text) {
  at("problem").hidden = !text;
  at("problem").textContent = text;
}

export function showAnswer(answer) {
  const {made: of, policies, figures} = answer;
  at("title").textContent = of.title;
  document.title = `${of.title} · ipa explore`;
  const seeds = of.seeds.length > 1 ? `seeds ${of.seeds[0]} to ${of.seeds.at(-1)}` : `seed ${of.seeds[0]}`;
  at("subtitle").textContent = `${of.duration_s.toLocaleString("en")} s, ${of.requests.toLocaleString("en")} requests${of.sla_s === null ? "" : `, SLA ${of.sla_s} s`}, ${seeds}`;
  const rows = [...policies, ...(answer.measured ?? [])];
  at("figures").replaceChildren(table([of.rows ?? "policy", ...figures], rows.map((each, place) => [
    made("th", {scope: "row"}, ...(place < policies.length ? [patch(place)] : []), each.title),
    ...figures.map(name => made("td", {textContent: each.estimates[name].text, title: each.estimates[name].mean ?? "none"})),
  ])));
  at("intervals").textContent = answer.intervals;
  const [take = "", ...more] = answer.recommendation;
  at("take").textContent = take;
  at("recommendation").replaceChildren(...[...more, ...answer.unmet].map(textContent => made("li", {textContent})));
  showWays(answer);
  const digest = of.load.sha256 ? `, sha256 ${of.load.sha256}` : "";
  at("made").textContent = `Simulated, not measured: ipa-pipelines ${of.version}, engine ${of.engine}, load ${of.load.name} `
    + `(${of.load.source}${digest}), ${seeds}.`;
}

function showWays({command, file, python, has_report = true}) {
  const report = has_report ? {"The same as a report on one page": `${command} --report report.html`} : {};
  const found = {"The command": command, ...report, "The question, as a file": file, "Python": python};
  at("ways").replaceChildren(...Object.entries(found).map(([title, text]) => {
    const copy = made("button", {type: "button", textContent: "Copy"});
    copy.setAttribute("aria-label", `Copy: ${title}`);
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    return made("div", {className: "way"}, made("div", {className: "row"}, title, copy), made("pre", {textContent: text, tabIndex: 0}));
  }));
}

export function showDifferences({differences}, link) {
  at("pinned").hidden = !differences;
  if (!differences) return;
  at("pinned-link").textContent = link.isMeasured ? link.text : `Pinned: ${link.text}`;
  if (link.isMeasured) at("pinned-link").removeAttribute("href"); else at("pinned-link").href = link.href;
  at("words").replaceChildren(...differences.map(each => {
    const against = each.against === each.policy ? "" : ` against ${each.against}`;
    return made("li", {textContent: `${each.policy}${against}: ${each.words}`});
  }));
  const rows = differences.flatMap((each, place) => [
    [made("th", {scope: "row"}, patch(place), each.policy), ...each.figures.map(one => made("td", {textContent: one.text, className: one.is_clear ? "clear" : ""}))],
    ...(each.seeds.length > 1 ? each.seeds.map((seed, at) => [
      made("th", {scope: "row", textContent: `seed ${seed}`}), ...each.figures.map(one => made("td", {textContent: one.seeds[at], title: one.values[at] ?? "none"})),
    ]) : []),
  ]);
  at("differences").replaceChildren(table(["", ...differences[0].figures.map(one => one.name)], rows));
}

// Every run with its whole summary, in full precision.
export function toCsv({policies}) {
  const runs = policies.flatMap(each => each.runs), columns = Object.keys(runs[0]);
  const text = value => value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  const cell = value => /[",\n]/.test(text(value)) ? `"${text(value).replaceAll('"', '""')}"` : text(value);
  return [columns, ...runs.map(run => columns.map(key => run[key]))].map(row => row.map(cell).join(",")).join("\n") + "\n";
}
