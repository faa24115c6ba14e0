// Show what is for the setting and the workload chosen.
{
  const choices = document.querySelectorAll("[data-choice]");
  const show = () => {
    for (const choice of choices) {
      const key = choice.dataset.choice;
      for (const part of document.querySelectorAll(`[data-${key}]`)) {
        part.classList.toggle(`not-${key}`, part.dataset[key] !== choice.value);
      }
    }
    for (const part of document.querySelectorAll("[data-setting], [data-workload]")) {
      part.hidden = [...part.classList].some(name => name.startsWith("not-"));
    }
  };
  choices.forEach(choice => choice.addEventListener("change", show));
  show();
}
