"use strict";
// Only what a page cannot do by itself: light or dark, sorting, values under the pointer.

(function theme() {
  const root = document.documentElement;
  const key = "veiltune-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  // A page opened from a disk may have no storage; it then follows the system each time.
  try { chosen = localStorage.getItem(key); } catch { chosen = null; }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  const isDark = () => (chosen ? chosen === "dark" : system.matches);
  const show = () => {
    if (chosen) root.dataset.theme = chosen;
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
  };
  button.addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    try { localStorage.setItem(key, chosen); } catch { /* this page only */ }
    show();
  });
  system.addEventListener("change", show);
  document.querySelector("header").append(button);
  show();
})();

// Browsers keep folded text out of print.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((each) => {
    each.open = true;
    addEventListener("afterprint", () => { each.open = false; }, { once: true });
  });
});

document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) return;
  const byText = new Intl.Collator(undefined, { numeric: true }).compare;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const isNumber = head.classList.contains("n");
      const value = (row) => {
        const cell = row.cells[column];
        return isNumber ? parseFloat(cell.dataset.value) : cell.textContent;
      };
      const compare = (first, second) => {
        const [a, b] = [value(first), value(second)];
        if (!isNumber) return (up ? 1 : -1) * byText(a, b);
        // What was not measured stays at the end, whichever way the rest is sorted.
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
        return (up ? 1 : -1) * (a - b);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
});

document.querySelectorAll(".plot").forEach((plot) => {
  const values = JSON.parse(plot.nextElementSibling.textContent);
  const svg = plot.querySelector("svg");
  const curves = [...svg.querySelectorAll(".curve")];
  const cursor = svg.querySelector(".cursor");
  const box = plot.querySelector(".values");
  let at = -1;

  const line = (tag, words) => {
    const element = document.createElement(tag);
    element.textContent = words;
    return element;
  };
  // checkVisibility is true of SVG groups that a style rule has taken off the page.
  const isShown = (curve) => curve.getClientRects().length > 0;
  const hide = () => {
    at = -1;
    box.style.display = "none";
    cursor.style.visibility = "hidden";
  };
  const show = (place) => {
    at = place;
    const said = values.curves
      .map((curve, number) => [curve, number])
      .filter(([curve, number]) => curve.said[at] !== null && isShown(curves[number]))
      .map(([curve]) => line("span", `${curve.name}: ${curve.said[at]}`));
    if (said.length === 0) { hide(); return; }
    box.replaceChildren(line("b", values.at[at]), ...said);
    const scale = svg.clientWidth / svg.viewBox.baseVal.width;
    const x = values.x[at] * scale;
    cursor.setAttribute("transform", `translate(${values.x[at]} 0)`);
    cursor.style.visibility = "visible";
    box.style.display = "block";
    const room = svg.clientWidth - box.offsetWidth;
    const beside = x + 14 <= room ? x + 14 : x - 14 - box.offsetWidth;
    box.style.left = `${Math.min(Math.max(0, beside), Math.max(0, room))}px`;
    box.style.top = `${30 * scale}px`;
  };
  const nearest = (event) => {
    const bounds = svg.getBoundingClientRect();
    const x = ((event.clientX - bounds.left) / bounds.width) * svg.viewBox.baseVal.width;
    const away = values.x.map((place) => Math.abs(place - x));
    return away.indexOf(Math.min(...away));
  };

  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys read the values.`);
  plot.addEventListener("pointermove", (event) => show(nearest(event)));
  plot.addEventListener("pointerdown", (event) => show(nearest(event)));
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const last = values.x.length - 1;
    const steps = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last };
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(Math.min(Math.max(0, steps[event.key]), last));
  });
});
