// The plots over time of a page zoom together, and the moment under the pointer is marked in all of them.
{
  const linked = new Map();  // plot -> its line at the moment
  let shown = null;  // the time range of all plots, once one was zoomed
  let isFollowing = false;

  const isOverTime = layout => layout.xaxis?.type === "date"
    && Object.keys(layout).every(key => !/^xaxis\d+$/.test(key) || layout[key].matches === "x");
  const axis = plot => plot._fullLayout.xaxis;

  document.addEventListener("drawn", ({target: plot}) => {
    if (!isOverTime(plot.layout)) return;
    if (!linked.has(plot)) link(plot);
    if (shown) show(plot);
  });

  function link(plot) {
    const line = document.createElement("div");
    line.style.cssText = "display:none;position:absolute;width:1px;pointer-events:none;background:currentColor;opacity:.5";
    plot.style.position = "relative";
    plot.append(line);
    linked.set(plot, line);
    plot.on("plotly_relayout", change => {
      if (Object.keys(change).some(key => key.startsWith("xaxis"))) follow(plot);
    });
    plot.addEventListener("pointermove", event => {
      const x = event.clientX - plot.getBoundingClientRect().left - axis(plot)._offset;
      mark(x >= 0 && x <= axis(plot)._length ? axis(plot).p2c(x) : null);
    });
    plot.addEventListener("pointerleave", () => mark(null));
  }

  const show = plot => Plotly.relayout(plot, {"xaxis.range": [...shown]});

  // Ignore the events that this change causes in the other plots.
  async function follow(plot) {
    const range = [...plot.layout.xaxis.range];
    if (isFollowing || String(range) === String(shown)) return;
    isFollowing = true;
    shown = range;
    await Promise.all([...linked.keys()].filter(other => other !== plot).map(show));
    isFollowing = false;
  }

  function mark(time) {
    for (const [plot, {style}] of linked) {
      const {_offset, _length} = axis(plot), {t, h} = plot._fullLayout._size;
      const x = time === null ? -1 : axis(plot).c2p(time);
      Object.assign(style, {
        display: x >= 0 && x <= _length ? "block" : "none",
        left: `${_offset + x}px`,
        top: `${t}px`,
        height: `${h}px`,
      });
    }
  }
}
