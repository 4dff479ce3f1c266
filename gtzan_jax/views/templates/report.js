"use strict";
(() => {
  const LIMIT = 1000; // rows shown at first, so that a grid of thousands stays quick
  const { columns, shown, rows, decimals } = JSON.parse(document.getElementById("rows").textContent);
  const byId = (id) => document.getElementById(id);
  const body = document.querySelector("#all tbody");
  const heads = [...document.querySelectorAll("#all th")];
  const selects = [...document.querySelectorAll("#filters select")];
  const isDecimal = columns.map((name) => decimals.includes(name));
  const show = (value, i) =>
    value === null ? "–" : isDecimal[i] ? value.toFixed(4) : String(value);
  const texts = rows.map((row) => row.map(show));
  const haystacks = texts.map((row) => row.join(" ").toLowerCase());
  const isNumber = columns.map((_, i) => rows.every((row) => typeof row[i] !== "string"));
  let sorted = { column: 0, descending: false };
  let showAll = false;

  function compare(a, b) {
    const [x, y] = [rows[a][sorted.column], rows[b][sorted.column]];
    if (x === y) return a - b; // ties stay in the order of their rank
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * (sorted.descending ? -1 : 1);
  }

  function chosen() {
    const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = selects
      .filter((select) => select.value)
      .map((select) => [columns.indexOf(select.dataset.column), JSON.parse(select.value)]);
    return rows
      .map((_, r) => r)
      .filter((r) => words.every((word) => haystacks[r].includes(word)))
      .filter((r) => picked.every(([column, value]) => rows[r][column] === value));
  }

  function draw() {
    const found = chosen().sort(compare);
    const visible = showAll ? found : found.slice(0, LIMIT);
    body.replaceChildren(
      ...visible.map((r) => {
        const line = document.createElement("tr");
        line.append(
          ...texts[r].map((text, i) => {
            const cell = document.createElement("td");
            cell.textContent = text;
            cell.classList.toggle("number", isNumber[i]);
            cell.classList.toggle("rest", i >= shown);
            return cell;
          }),
        );
        return line;
      }),
    );
    heads.forEach((head, i) => {
      if (i !== sorted.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    });
    const part = visible.length < found.length ? `, the first ${visible.length} of them shown` : "";
    byId("count").textContent = `${found.length} of ${rows.length} rows${part}`;
    byId("more").hidden = visible.length === found.length;
  }

  heads.forEach((head, i) => {
    head.classList.toggle("number", isNumber[i]);
    head.querySelector("button").addEventListener("click", () => {
      sorted = { column: i, descending: sorted.column === i && !sorted.descending };
      draw();
    });
  });
  byId("words").addEventListener("input", draw);
  selects.forEach((select) => select.addEventListener("change", draw));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(draw)); // after the reset itself
  byId("more").addEventListener("click", () => {
    showAll = true;
    draw();
  });
  draw();
})();
