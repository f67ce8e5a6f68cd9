(() => {
  "use strict";
  const form = document.getElementById("filter");
  const rows = [...document.querySelectorAll("table.claims tbody tr")];
  const names = ["verdict", "article", "kind", "text"];
  const sections = new Map(
    [...document.querySelectorAll("section.claim")].map((section) => [section.dataset.claim, section]));
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const isFilter = (hash) => hash === "" || hash.includes("=");

  function matches(row, wanted) {
    const {verdict, articles, kind} = row.dataset;
    return (!wanted.verdict || wanted.verdict === verdict)
      && (!wanted.article || articles.split(" ").includes(wanted.article))
      && (!wanted.kind || wanted.kind === kind)
      && wanted.text.toLowerCase().split(/\s+/).every((word) => words.get(row).includes(word));
  }

  function show() {
    const wanted = Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
    let shown = 0;
    for (const row of rows) {
      const match = matches(row, wanted);
      row.hidden = sections.get(row.dataset.claim).hidden = !match;
      shown += match;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length}`;
  }

  function keep() {
    const set = names.filter((name) => form.elements[name].value);
    const hash = new URLSearchParams(set.map((name) => [name, form.elements[name].value])).toString();
    history.replaceState(null, "", `#${hash}`);
    show();
  }

  function follow() {
    const hash = location.hash.slice(1);
    if (isFilter(hash)) {
      const wanted = new URLSearchParams(hash);
      for (const name of names) form.elements[name].value = wanted.get(name) ?? "";
      show();
      if (hash) form.scrollIntoView({block: "nearest"});
      return;
    }
    const target = document.getElementById(decodeURIComponent(hash));
    if (target && target.hidden) {
      form.reset();
      show();
      target.scrollIntoView();
    }
  }

  form.hidden = false;
  form.addEventListener("input", keep);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(keep));
  window.addEventListener("hashchange", follow);
  follow();
})();
