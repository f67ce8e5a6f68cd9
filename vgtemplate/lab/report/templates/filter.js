(() => {
  "use strict";
  const form = document.getElementById("filter");
  const rows = [...document.querySelectorAll("table.claims tbody tr")];
  const figures = [...document.querySelectorAll(".elsewhere li")];
  const names = ["verdict", "article", "kind", "text"];
  const sections = new Map(
    [...document.querySelectorAll("section.claim")].map((section) => [section.dataset.claim, section]));
  const read = (element) => element.textContent.toLowerCase();
  const visible = new Map(rows.map((row) => [row, read(row)]));
  const words = new Map(rows.map((row) => [row, `${visible.get(row)} ${read(sections.get(row.dataset.claim))}`]));
  for (const figure of figures) words.set(figure, read(figure));

  const isFilter = (hash) => hash === "" || hash.includes("=");
  const split = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  function matches(element, wanted) {
    const {verdict, articles, kind} = element.dataset;
    return (!wanted.verdict || wanted.verdict === verdict)
      && (!wanted.article || articles.split(" ").includes(wanted.article))
      && (!wanted.kind || wanted.kind === kind)
      && split(wanted.text).every((word) => words.get(element).includes(word));
  }

  // Where the section has a word that the row does not show: the words around it.
  function quote(row, text) {
    const place = row.querySelector(".found");
    const word = split(text).find((each) => !visible.get(row).includes(each));
    place.hidden = !word;
    if (!word) return;
    const walker = document.createTreeWalker(sections.get(row.dataset.claim), NodeFilter.SHOW_TEXT);
    let node = walker.nextNode();
    while (node && !node.data.toLowerCase().includes(word)) node = walker.nextNode();
    place.hidden = !node;
    if (!node) return;
    const at = node.data.toLowerCase().indexOf(word);
    const mark = document.createElement("mark");
    mark.textContent = node.data.slice(at, at + word.length);
    const before = node.data.slice(Math.max(0, at - 50), at), after = node.data.slice(at + word.length, at + 50);
    place.replaceChildren(`${at > 50 ? "…" : ""}${before}`, mark, `${after}${node.data.length > at + 50 ? "…" : ""}`);
  }

  function show() {
    const wanted = Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
    const shown = [rows, figures].map((all) => all.filter((element) => {
      element.hidden = !matches(element, wanted);
      return !element.hidden;
    }).length);
    for (const row of rows) {
      sections.get(row.dataset.claim).hidden = row.hidden;
      if (!row.hidden) quote(row, wanted.text);
    }
    document.getElementById("nothing").hidden = shown[0] + shown[1] > 0;
    document.querySelector("table.claims").hidden = !shown[0];
    for (const list of document.querySelectorAll(".elsewhere")) list.hidden = !shown[1];
    const counts = [`${shown[0]} of ${rows.length} claims`, `${shown[1]} of ${figures.length} figures`];
    form.querySelector("output").textContent = counts.slice(0, figures.length ? 2 : 1).join(", ");
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
      if (hash) form.scrollIntoView();
      return;
    }
    const target = document.getElementById(decodeURIComponent(hash));
    if (!target) return;
    if (target.hidden) {
      form.reset();
      show();
    }
    const folded = target.querySelector(".fold");
    if (folded) folded.open = true;
    target.scrollIntoView();
  }

  form.hidden = false;
  form.addEventListener("input", keep);
  form.addEventListener("reset", () => setTimeout(keep));
  // Enter goes to the first that was found.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.querySelector("table.claims tbody tr:not([hidden]) a, .elsewhere li:not([hidden]) a")?.focus();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    form.elements.text.focus();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    // The browser follows an address only where it changes.
    if (link && link.hash === location.hash) follow();
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
