// Show the parts for the reader's choices, on the whole page or within a part.
{
  const choices = [...document.querySelectorAll("[data-choice]")];
  const parts = choices.flatMap(choice => [...document.querySelectorAll(`[data-${choice.dataset.choice}]`)]);
  const isOther = part => choices.some(({dataset, value}) => (part.dataset[dataset.choice] ?? value) !== value);
  const show = () => { for (const part of parts) part.hidden = isOther(part); };
  choices.forEach(choice => choice.addEventListener("change", show));
  show();
}
