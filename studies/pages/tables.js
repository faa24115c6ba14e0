// Tables that can be sorted, filtered where they are long, and downloaded as CSV; also those that say they are new.
{
  const LONG = 12;  // tables with more rows can be filtered
  const SORTS = ["ascending", "descending", "none"];  // the orders of a column, in turn

  const small = cell => cell.querySelector("small")?.textContent ?? "";
  const main = cell => [...cell.childNodes].filter(part => part.nodeName !== "SMALL").map(part => part.textContent).join("").trim();

  // The number at the start of a cell, with a true minus and commas between thousands; NaN if there is none.
  function leading(text) {
    const found = text.replace(/^≈ /, "").match(/^[+−]?[\d,]*\.?\d+(e[+−-]?\d+)?(?![\w:])/);
    return found ? Number(found[0].replaceAll("−", "-").replaceAll(",", "")) : NaN;
  }

  const compare = (one, other) => {
    const [a, b] = [leading(one), leading(other)];
    if (isNaN(a) && isNaN(b)) return one.localeCompare(other, "en", {numeric: true});
    return isNaN(a) - isNaN(b) || a - b;
  };
  // Cells without a number come last in both directions.
  const isLast = text => text === "" || text === "–";

  function sort(table, rows, place, direction) {
    const text = row => main(row.cells[place]);
    const sign = direction === "descending" ? -1 : 1;
    const sorted = direction === "none" ? rows : [...rows].sort((one, other) =>
      isLast(text(one)) - isLast(text(other)) || sign * compare(text(one), text(other)));
    table.tBodies[0].append(...sorted);
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      if (head.ariaSort) head.ariaSort = at === place ? direction : "none";
    });
  }

  // An interval stays with its sign where the text of a cell takes two lines.
  function join(table) {
    const texts = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll("± ", "±\u00a0");
  }

  const quoted = text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const plain = text => /^[+−]?[\d,]*\.?\d+( %)?$/.test(text) ? text.replaceAll(",", "").replace("−", "-").replace("+", "") : text;
  const title = head => [main(head), small(head) && `(${small(head)})`].filter(Boolean).join(" ");

  // The shown rows, in order; small text beneath figures gets its own column.
  function csv(table) {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const hasSmall = heads.map((_, at) => rows.some(row => small(row.cells[at])));
    const lines = [heads.flatMap((head, at) => hasSmall[at] ? [title(head), `${title(head)}: beneath`] : [title(head)])];
    for (const row of rows.filter(row => !row.hidden)) {
      lines.push([...row.cells].flatMap((cell, at) => hasSmall[at] ? [plain(main(cell)), small(cell)] : [plain(main(cell))]));
    }
    return lines.map(line => line.map(quoted).join(",") + "\r\n").join("").replaceAll("±\u00a0", "± ");
  }

  function download(table) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(table)], {type: "text/csv"}));
    link.download = `${table.ariaLabel.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").toLowerCase()}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.append(...text);
    made.addEventListener("click", act);
    return made;
  }

  function filter(rows, asked, status) {
    const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    status.textContent = words.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
  }

  function equip(table) {
    join(table);
    const rows = [...table.tBodies[0].rows];
    const headings = [...table.tHead.rows[0].cells].map(title);
    for (const {cells} of rows) [...cells].forEach((cell, place) => { cell.dataset.heading = headings[place]; });
    const status = document.createElement("span");
    status.role = "status";
    const tools = document.createElement("div");
    tools.className = "tools";
    if (rows.length > LONG) {
      const input = document.createElement("input");
      input.type = "search";
      input.placeholder = "Filter rows";
      input.ariaLabel = `Filter the rows of: ${table.ariaLabel}`;
      input.addEventListener("input", () => filter(rows, input.value, status));
      tools.append(input);
    }
    tools.append(button(["Download CSV"], () => download(table)), status);
    tools.lastElementChild.previousElementSibling.ariaLabel = `Download CSV of: ${table.ariaLabel}`;
    const box = table.closest(".table");
    box.querySelector(".tools")?.remove();
    box.append(tools);
    if (rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      if (!main(head)) return;
      head.ariaSort = "none";
      head.prepend(button([...head.childNodes].filter(part => part.nodeName !== "SMALL"), () => {
        const next = SORTS[(SORTS.indexOf(head.ariaSort) + 1) % SORTS.length];
        sort(table, rows, place, next);
        status.textContent = next === "none" ? "In the original order" : `Sorted by ${main(head)}, ${next}`;
      }));
    });
  }

  document.querySelectorAll("table[aria-label]").forEach(equip);
  document.addEventListener("added", ({target}) => equip(target));
}
