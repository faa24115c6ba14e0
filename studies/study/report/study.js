// Draw each figure when it comes into view; show what is for the setting and the workload chosen.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
}, {rootMargin: "300px"});
function draw(plot) {
  seen.unobserve(plot);
  const spec = JSON.parse(document.getElementById(plot.id + "-spec").textContent);
  Plotly.newPlot(plot, spec.data, spec.layout, spec.config);
}
window.addEventListener("beforeprint", () => {
  for (const plot of document.querySelectorAll(".plot:empty")) if (plot.offsetParent) draw(plot);
});
const choices = document.querySelectorAll("[data-choice]");
function show() {
  for (const choice of choices) {
    const key = choice.dataset.choice;
    for (const part of document.querySelectorAll(`[data-${key}]`)) {
      part.classList.toggle(`not-${key}`, part.dataset[key] !== choice.value);
    }
  }
  for (const part of document.querySelectorAll("[data-setting], [data-workload]")) {
    part.hidden = [...part.classList].some(name => name.startsWith("not-"));
  }
}
choices.forEach(choice => choice.addEventListener("change", show));
show();
document.querySelectorAll(".plot").forEach(plot => seen.observe(plot));
