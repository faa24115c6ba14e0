// Draw each figure when it comes into view, in the colours of the theme and laid out for its width; again when it is
// told that its data changed, and for paper, on which folded parts are open.
{
  const NARROW = 640;  // narrower pages have figures laid out for narrow screens, as in page.css [pixels]
  const PAPER = 680;  // the width of a figure on paper; A4 and Letter are wider [pixels]
  const HIGHEST = 830;  // the most that a figure is high on paper, beneath its title and note [pixels]
  const {colours, config, template} = drawing;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = () => [...document.querySelectorAll(".plot")];
  const drawn = new WeakMap();  // figure -> the look it has
  let printing = false;

  const hex = parts => "#" + parts.map(part => Number(part).toString(16).padStart(2, "0")).join("");
  const rgb = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16)).join(",");
  const darkened = text => text
    .replace(/#[0-9a-f]{6}\b/g, colour => colours[colour] ?? colour)
    .replace(/rgba\((\d+),(\d+),(\d+),/g, (all, ...parts) => {
      const other = colours[hex(parts.slice(0, 3))];
      return other ? `rgba(${rgb(other)},` : all;
    });

  const look = () => ({
    isDark: dark.matches && !printing,
    isNarrow: !printing && innerWidth < NARROW,
    isOnPaper: printing,
  });

  // The layout on paper: not cut at the end of the sheet unless it would be far too small; its legend takes fewer rows.
  // Panels that come closer have smaller letters.
  const onPaper = ({height, legend, annotations = []}) => {
    const lower = Math.min(height, Math.max(HIGHEST, 0.6 * height));
    const smaller = note => ({...note, yshift: Math.min(note.yshift ?? 0, 1), font: {...note.font, size: 10}});
    return {
      width: PAPER, height: lower, autosize: false, legend: {...legend, font: {size: 10}},
      ...(lower < height ? {font: {size: 9}, annotations: annotations.map(smaller)} : {}),
    };
  };

  function draw(figure) {
    const wanted = look();
    if (JSON.stringify(drawn.get(figure)) === JSON.stringify(wanted)) return;
    drawn.set(figure, wanted);
    const themed = text => JSON.parse(wanted.isDark ? darkened(text) : text);
    const spec = themed(figure.nextElementSibling.textContent);  // not by id, which contains names of the user's
    const layout = wanted.isNarrow ? spec.narrow : spec.layout;
    // Keep the reader's zoom.
    Object.assign(layout, {template: themed(JSON.stringify(template)), uirevision: true}, wanted.isOnPaper ? onPaper(layout) : {});
    figure.style.height = `${layout.height}px`;
    // A narrow screen has no room for buttons, and dragging scrolls the page.
    Plotly.react(figure, spec.data, layout, wanted.isNarrow ? {...config, displayModeBar: false} : config);
    figure.dispatchEvent(new Event("drawn", {bubbles: true}));
  }

  const isShown = figure => figure.offsetParent !== null;
  const redraw = () => figures().filter(figure => drawn.has(figure) && isShown(figure)).forEach(draw);
  const seen = new IntersectionObserver(
    // One by one, so that the page stays responsive.
    entries => entries.filter(entry => entry.isIntersecting).forEach(entry => setTimeout(draw, 0, entry.target)),
    {rootMargin: "300px"},
  );
  figures().forEach(figure => seen.observe(figure));
  document.addEventListener("changed", ({target}) => {
    drawn.delete(target);
    seen.unobserve(target);  // so that it is seen anew
    seen.observe(target);
  });
  dark.addEventListener("change", redraw);
  addEventListener("resize", redraw);
  let opened = [];
  addEventListener("beforeprint", () => {
    printing = true;
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const part of opened) part.open = true;
    figures().filter(isShown).forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    for (const part of opened) part.open = false;
    redraw();
  });
}
