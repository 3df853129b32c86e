"use strict";
// Tables with data-sort get a button in each head and, with data-filter, a box that keeps rows with all of its words.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const keyOf = (row, place) => {
    const cell = row.cells[place];
    if (!("v" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v.replace("inf", "Infinity").replace("True", 1).replace("False", 0));
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true}));
  heads.forEach((head, place) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const numbers = rows.some((row) => "v" in row.cells[place].dataset);
      const up = was ? was === "descending" : !numbers;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = rows.map((row) => [keyOf(row, place), row]);
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (up ? compare(a, b) : compare(b, a)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
  if (!table.dataset.filter) continue;
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const bar = document.createElement("p");
  bar.className = "filter";
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "search";
  label.append(table.dataset.filter + " ", box);
  bar.append(label);
  let only = null;
  if (table.dataset.only && rows.some((row) => row.classList.contains("hit"))) {
    const check = document.createElement("label");
    only = document.createElement("input");
    only.type = "checkbox";
    check.append(only, " " + table.dataset.only);
    bar.append(check);
  }
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  bar.append(said);
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      const fits = words.every((word) => texts[place].includes(word)) && (!only || !only.checked || row.classList.contains("hit"));
      row.hidden = !fits;
      shown += fits;
    });
    said.textContent = shown === rows.length ? "" : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  box.addEventListener("input", apply);
  if (only) only.addEventListener("change", apply);
  (table.closest(".wide") || table.closest(".scroll") || table).before(bar);
}
