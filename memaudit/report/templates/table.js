"use strict";
// One table of findings: sorted, searched, filtered and paged. Text enters the page as text only.
function findings(section) {
  const data = JSON.parse(section.querySelector("script").textContent);
  const names = data.columns.map((column) => column[0]);
  const count = data.values[0].length;
  const column = (name) => data.values[names.indexOf(name)];
  const table = section.querySelector("table");
  const form = section.querySelector("form");
  const status = section.querySelector("[role=status]");
  const pager = section.querySelector(".pager");
  const texts = names.map((_, k) => k).filter((k) => !data.columns[k][1]);
  const state = { sort: -1, down: false, page: 0 };
  let lowered = null;
  let shown = [];

  function element(name, text, parent) {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  function say(value) {
    return value === null ? "" : String(value);
  }

  function searchable() {
    if (!lowered) {
      lowered = new Array(count);
      for (let row = 0; row < count; row++) {
        lowered[row] = texts.map((k) => say(data.values[k][row])).join("\n").toLowerCase();
      }
    }
    return lowered;
  }

  function choose() {
    const word = form.search.value.trim().toLowerCase();
    const split = form.split.value;
    const finding = form.finding.value;
    const splits = column("split");
    const found = column("finding");
    const within = word ? searchable() : null;
    shown = [];
    for (let row = 0; row < count; row++) {
      if (split && splits[row] !== split) continue;
      if (finding === "*" ? !found[row] : finding && found[row] !== finding) continue;
      if (within && !within[row].includes(word)) continue;
      shown.push(row);
    }
    if (state.sort >= 0) order();
    state.page = 0;
    draw();
  }

  function order() {
    const values = data.values[state.sort];
    const sign = state.down ? -1 : 1;
    shown.sort((a, b) => {
      const x = values[a];
      const y = values[b];
      if (x === y) return a - b;
      if (x === null || x === "") return 1;
      if (y === null || y === "") return -1;
      return x < y ? -sign : sign;
    });
  }

  function draw() {
    const size = Number(form.rows.value);
    const pages = Math.max(1, Math.ceil(shown.length / size));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const start = state.page * size;
    const rows = shown.slice(start, start + size);
    const body = document.createElement("tbody");
    rows.forEach((row) => body.appendChild(line(row)));
    table.replaceChild(body, table.tBodies[0]);
    status.textContent = rows.length
      ? `Rows ${start + 1} to ${start + rows.length} of ${shown.length}` +
        (shown.length < count ? `, chosen from ${count}.` : ".")
      : "No row fits.";
    pager.querySelector("span").textContent = `Page ${state.page + 1} of ${pages}`;
    pager.querySelectorAll("button").forEach((button) => {
      const back = ["first", "previous"].includes(button.dataset.go);
      button.disabled = back ? state.page === 0 : state.page === pages - 1;
    });
  }

  function line(row) {
    const made = document.createElement("tr");
    names.forEach((name, k) => {
      const cell = element("td", say(data.values[k][row]), made);
      cell.className = data.columns[k][1] ? "number" : name;
    });
    const cell = element("td", null, made);
    if (row < data.further[0].length) {
      const button = element("button", "Details", cell);
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-label", `Details of ${say(column("source")[row])}`);
      button.addEventListener("click", () => open(made, row, button));
    }
    return made;
  }

  function open(made, row, button) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      made.nextSibling.remove();
      return;
    }
    const more = document.createElement("tr");
    more.className = "more";
    const cell = element("td", null, more);
    cell.colSpan = names.length + 1;
    const strip = document.getElementById(`${section.dataset.key}-${column("key")[row]}`);
    if (strip) {
      const copy = strip.cloneNode(true);
      copy.removeAttribute("id");
      cell.appendChild(copy);
    }
    const list = element("dl", null, cell);
    list.className = "facts";
    data.more.forEach(([name, help], k) => {
      if (data.further[k][row] === null || data.further[k][row] === "") return;
      const pair = element("div", null, list);
      element("dt", name, pair);
      const told = element("dd", null, pair);
      element("strong", say(data.further[k][row]), told);
      told.append(` \u2013 ${help}`);
    });
    made.after(more);
  }

  function head() {
    table.tHead.querySelectorAll("th").forEach((cell, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = cell.textContent;
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        state.down = state.sort === k ? !state.down : false;
        state.sort = k;
        table.tHead.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        choose();
      });
    });
    const last = element("th", "More", table.tHead.rows[0]);
    last.scope = "col";
  }

  function begin() {
    const kinds = [...new Set(column("finding"))].filter((kind) => kind);
    if (kinds.length) {
      const any = element("option", "any finding", form.finding);
      any.value = "*";
      kinds.forEach((kind) => element("option", kind, form.finding));
    }
    let waiting = 0;
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(choose, 120);
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    pager.addEventListener("click", (event) => {
      const go = event.target.dataset.go;
      const steps = { first: -count, previous: -1, next: 1, last: count };
      if (!go) return;
      state.page += steps[go];
      draw();
    });
    head();
    form.hidden = false;
    pager.hidden = false;
    choose();
  }

  begin();
}

document.querySelectorAll(".findings").forEach(findings);
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
});
