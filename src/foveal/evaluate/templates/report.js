"use strict";
// What the page does when scripts may run: pictures of a cell, sorting, searching, copying.
// Names and paths only ever become text nodes.
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const names = data.classes;
  root.classList.add("js");

  const make = (tag, className, ...inside) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...inside);
    return node;
  };
  const name = (index) => make("bdi", "", names[index]);
  const images = (count) => `${count} image${count === 1 ? "" : "s"}`;
  const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.1 ? 1 : 0)}\u00a0%`;

  // — the confusion matrix, sparse: "truth answer" -> count —

  const cells = [];
  for (let i = 0; i < data.cells.length; i += 3) {
    const [truth, answer, count] = data.cells.slice(i, i + 3);
    cells.push({ truth, answer, count });
  }
  const mistakes = cells
    .filter((cell) => cell.truth !== cell.answer)
    .sort((a, b) => b.count - a.count || a.truth - b.truth || a.answer - b.answer);
  const support = new Map();
  for (const cell of cells) support.set(cell.truth, (support.get(cell.truth) || 0) + cell.count);

  // — the viewer: the pictures of one cell or of one class —

  const viewer = find("viewer");
  const title = find("viewer-title");
  const inside = find("viewer-inside");
  let opener = null;
  let here = null;

  const photo = (picture) => {
    const shot = make("div", "shot");
    const shown = picture.card && find(picture.card);
    const [source, heat] = shown
      ? [shown.querySelector(".photo").src, (shown.querySelector(".heat") || {}).src]
      : [`data:image/jpeg;base64,${picture.jpeg}`, picture.png && `data:image/png;base64,${picture.png}`];
    const image = make("img", "photo");
    image.src = source;
    image.alt = `truth ${names[picture.truth]}, answer ${names[picture.answer]}`;
    shot.append(image);
    if (heat) {
      const over = make("img", "heat");
      over.src = heat;
      over.alt = "";
      shot.append(over);
    }
    return shot;
  };

  const figure = (picture) => {
    const right = picture.truth === picture.answer;
    const caption = make(
      "figcaption",
      "",
      make("span", right ? "said ok" : "said", "said ", make("b", "", name(picture.answer)), `, ${percent(picture.confidence)} sure`),
    );
    if (!right) caption.append(make("span", "", "is ", make("b", "", name(picture.truth))));
    caption.append(make("bdi", "path", picture.path));
    return make("li", "", make("figure", "picture", photo(picture), caption));
  };

  const show = (heading, count, chosen, cell) => {
    here = cell;
    title.replaceChildren(...heading);
    const missing = count - chosen.length;
    find("viewer-note").textContent = missing
      ? `${images(count)}, of which this file holds ${chosen.length}: ${missing} left out to keep it small.`
      : `${images(count)}.`;
    inside.replaceChildren(make("ul", "pictures", ...chosen.map(figure)));
    inside.scrollTop = 0;
    for (const button of document.querySelectorAll(".cell"))
      button.setAttribute("aria-pressed", String(Boolean(cell) && Number(button.dataset.t) === cell.truth && Number(button.dataset.a) === cell.answer));
    find("viewer-next").hidden = mistakes.length === 0;
    if (viewer.hidden) opener = document.activeElement;
    const chosenCell = document.querySelector('.cell[aria-pressed="true"]');
    const top = chosenCell && chosenCell.getBoundingClientRect().top;
    viewer.hidden = false;
    root.classList.add("viewing");
    if (chosenCell) {
      // The page has become narrower, or its lower part is covered: keep the cell in sight.
      const room = viewer.offsetWidth < innerWidth ? innerHeight : viewer.getBoundingClientRect().top;
      const wanted = Math.min(top, room - 2 * chosenCell.offsetHeight);
      scrollBy({ top: chosenCell.getBoundingClientRect().top - wanted, behavior: "instant" });
    }
    title.focus({ preventScroll: true });
  };

  const showCell = (truth, answer) => {
    const cell = cells.find((one) => one.truth === truth && one.answer === answer) || { truth, answer, count: 0 };
    const chosen = data.pictures.filter((one) => one.truth === truth && one.answer === answer);
    const heading = truth === answer ? [name(truth), ", answered right"] : [name(truth), " taken for ", name(answer)];
    show(heading, cell.count, chosen, cell);
  };

  const showClass = (truth) => {
    const chosen = data.pictures.filter((one) => one.truth === truth);
    const wrong = mistakes.filter((one) => one.truth === truth).reduce((sum, one) => sum + one.count, 0);
    show([name(truth), `: ${wrong || "none"} wrong`], support.get(truth) || 0, chosen, null);
  };

  const close = () => {
    viewer.hidden = true;
    root.classList.remove("viewing");
    for (const button of document.querySelectorAll('.cell[aria-pressed="true"]')) button.setAttribute("aria-pressed", "false");
    if (opener && opener.isConnected) opener.focus({ preventScroll: true });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-t]");
    if (!button) return;
    const truth = Number(button.dataset.t);
    if (button.dataset.a === undefined) showClass(truth);
    else showCell(truth, Number(button.dataset.a));
  });
  find("viewer-close").addEventListener("click", close);
  find("viewer-next").addEventListener("click", () => {
    const at = here ? mistakes.findIndex((one) => one.truth === here.truth && one.answer === here.answer) : -1;
    const next = mistakes[(at + 1) % mistakes.length];
    showCell(next.truth, next.answer);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !viewer.hidden) close();
  });

  // — arrow keys walk over the matrix —

  const matrix = find("matrix");
  if (matrix)
    matrix.addEventListener("keydown", (event) => {
      const [down, along] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
      const cell = event.target.closest("td");
      if (!cell || (!down && !along)) return;
      const rows = [...matrix.tBodies[0].rows];
      let row = rows.indexOf(cell.parentNode);
      let column = cell.cellIndex;
      event.preventDefault();
      for (;;) {
        row += down;
        column += along;
        const next = rows[row] && rows[row].cells[column];
        if (!next || column < 1) return;
        const button = next.querySelector("button");
        if (button) return button.focus();
      }
    });

  // — the matrix of many classes, on a canvas —

  const map = find("map");
  if (map) {
    const says = find("map-says");
    const hint = says.textContent;
    const draw = () => {
      const side = map.clientWidth;
      if (!side) return;
      const sharp = window.devicePixelRatio || 1;
      map.width = map.height = Math.round(side * sharp);
      const pen = map.getContext("2d");
      pen.scale(sharp, sharp);
      const style = getComputedStyle(root);
      const step = side / names.length;
      const dot = Math.max(step, 2.5);
      const paint = (cell, colour, least) => {
        pen.globalAlpha = least + (1 - least) * (cell.count / support.get(cell.truth));
        pen.fillStyle = colour;
        pen.fillRect((cell.answer + 0.5) * step - dot / 2, (cell.truth + 0.5) * step - dot / 2, dot, dot);
      };
      for (const cell of cells) if (cell.truth === cell.answer) paint(cell, style.getPropertyValue("--right"), 0.15);
      for (const cell of [...mistakes].reverse()) paint(cell, style.getPropertyValue("--wrong"), 0.4);
    };
    const under = (event) => {
      const box = map.getBoundingClientRect();
      const step = map.clientWidth / names.length;
      const x = event.clientX - box.left - map.clientLeft;
      const y = event.clientY - box.top - map.clientTop;
      let best = null;
      let least = Math.max(9, step / 2);
      for (const cell of cells) {
        const far = Math.hypot((cell.answer + 0.5) * step - x, (cell.truth + 0.5) * step - y) * (cell.truth === cell.answer ? 1.5 : 1);
        if (far <= least) [best, least] = [cell, far];
      }
      return best;
    };
    map.addEventListener("pointermove", (event) => {
      const cell = under(event);
      if (!cell) says.textContent = hint;
      else if (cell.truth === cell.answer) says.replaceChildren(name(cell.truth), ` answered right: ${images(cell.count)}`);
      else says.replaceChildren(name(cell.truth), " taken for ", name(cell.answer), `: ${images(cell.count)}`);
    });
    map.addEventListener("pointerleave", () => (says.textContent = hint));
    map.addEventListener("click", (event) => {
      const cell = under(event);
      if (cell) showCell(cell.truth, cell.answer);
    });
    new ResizeObserver(draw).observe(map);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  // — what is wider than the page fades out where there is more —

  for (const box of document.querySelectorAll(".scroll")) {
    const look = () => {
      box.classList.toggle("wide", box.scrollWidth - box.clientWidth > 2);
      box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 2);
    };
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
  }

  // — tables: sort by a heading, search by name —

  for (const button of document.querySelectorAll(".sort"))
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const body = heading.closest("table").tBodies[0];
      const column = heading.cellIndex;
      const upward = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", upward ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.v;
      const order = (a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return (upward ? 1 : -1) * (Number(value(a)) - Number(value(b)));
      };
      body.append(...[...body.rows].sort(order));
    });

  const search = find("search");
  if (search)
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      let found = 0;
      for (const row of find("per-class").tBodies[0].rows) {
        row.hidden = !names[Number(row.dataset.k)].toLowerCase().includes(wanted);
        found += !row.hidden;
      }
      find("found").textContent = wanted ? `${found} of ${names.length} classes` : "";
    });

  // — the command and the settings, to the clipboard —

  for (const button of document.querySelectorAll("[data-copy]"))
    button.addEventListener("click", async () => {
      const source = find(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected: press Ctrl+C";
      }
    });

  // — where we are —

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const link = links.get(entry.target.id);
        if (link && entry.isIntersecting) link.setAttribute("aria-current", "true");
        else if (link) link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-30% 0px -65% 0px" },
  );
  for (const section of document.querySelectorAll("main > section")) watch.observe(section);
})();
