(() => {
  "use strict";
  // What is long is folded on a telephone, and never on paper.
  const folds = [...document.querySelectorAll(".fold")];
  const narrow = matchMedia("(max-width: 40rem)");
  const fold = () => folds.forEach((each) => { each.open = !narrow.matches; });
  narrow.addEventListener("change", fold);
  window.addEventListener("beforeprint", () => folds.forEach((each) => { each.open = true; }));
  window.addEventListener("afterprint", fold);
  fold();

  for (const link of document.querySelectorAll(".address a")) {
    link.addEventListener("click", () => {
      const said = link.nextElementSibling;
      const say = (text) => {
        said.textContent = text;
        setTimeout(() => { said.textContent = ""; }, 3000);
      };
      // Where the browser lets no page copy, the address bar has it.
      const copied = navigator.clipboard?.writeText(link.href) ?? Promise.reject();
      copied.then(() => say("copied"), () => say("now in the address bar"));
    });
  }
})();
