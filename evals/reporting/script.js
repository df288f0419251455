"use strict";
// Sorts tables, and shows the cases that are embedded in the page. Texts from data are only ever text nodes.
(() => {
  const STEP = 50; // cases that are put on the page at a time
  const MOST_PAIRS = 4e6; // pairs of words that two answers are compared by; beyond, they differ as a whole

  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) {
      node.dir = "auto";
      node.textContent = text;
    }
    return node;
  };

  const sort = (button) => {
    const head = button.closest("th");
    const table = head.closest("table");
    const body = table.tBodies[0];
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[head.cellIndex];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return cell.classList.contains("text") ? cell.textContent : null;
    };
    const order = (one, other) => {
      const a = key(one);
      const b = key(other);
      if (a === null || b === null) return (a === null) - (b === null); // what is unknown comes last
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    };
    body.append(...[...body.rows].sort(order));
  };
  for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sort(button));

  // The words of `a` and `b`, each with whether the other lacks it: by their longest common subsequence.
  const difference = (a, b) => {
    const words = [a, b].map((text) => text.match(/^\s+|\S+\s*/g) || []);
    const [left, right] = words.map((list) => list.map((word) => word.trim()));
    const shared = words.map((list) => new Array(list.length).fill(false));
    let begin = 0;
    while (begin < left.length && begin < right.length && left[begin] === right[begin]) {
      shared[0][begin] = shared[1][begin] = true;
      begin += 1;
    }
    let [endA, endB] = [left.length, right.length];
    while (endA > begin && endB > begin && left[endA - 1] === right[endB - 1]) {
      endA -= 1;
      endB -= 1;
      shared[0][endA] = shared[1][endB] = true;
    }
    const [rows, columns] = [endA - begin, endB - begin];
    if (rows * columns <= MOST_PAIRS) {
      const width = columns + 1;
      const longest = new Uint16Array((rows + 1) * width);
      for (let i = rows - 1; i >= 0; i -= 1)
        for (let j = columns - 1; j >= 0; j -= 1)
          longest[i * width + j] =
            left[begin + i] === right[begin + j]
              ? longest[(i + 1) * width + j + 1] + 1
              : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
      let [i, j] = [0, 0];
      while (i < rows && j < columns) {
        if (left[begin + i] === right[begin + j]) {
          shared[0][begin + i] = shared[1][begin + j] = true;
          i += 1;
          j += 1;
        } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i += 1;
        else j += 1;
      }
    }
    return words.map((list, side) => list.map((word, place) => [word, !shared[side][place]]));
  };

  // Blanks between two words that differ are marked with them, those after the last one are not.
  const marked = (words, tag) => {
    const node = make("p", "said", "");
    let run = null;
    const add = (text, differs) => {
      if (!run || run.differs !== differs) {
        const target = differs ? node.appendChild(document.createElement(tag)) : node;
        run = { differs, text: target.appendChild(document.createTextNode("")) };
      }
      run.text.data += text;
    };
    words.forEach(([word, differs], place) => {
      const bare = word.trimEnd();
      add(bare, differs);
      add(word.slice(bare.length), differs && place + 1 < words.length && words[place + 1][1]);
    });
    return node;
  };

  const holder = document.getElementById("data");
  const list = document.getElementById("cases");
  if (!holder || !list) return;
  const data = JSON.parse(holder.textContent);
  const more = document.getElementById("more");
  const count = document.getElementById("count");
  const controls = [...document.querySelectorAll("[data-filter]")];
  const number = (value) => value.toLocaleString("en");
  const percent = (value) => `${Math.round(value * 1000) / 10}%`;
  for (const one of data.cases) {
    const answers = one.sides.flat().map((answer) => answer.text);
    one.sought = [one.id, one.expected, ...one.turns.map((turn) => turn[1]), ...answers].join("\n").toLowerCase();
  }

  // good, bad or error; of a comparison, gained or lost
  const state = (one, scorer) => {
    if (one.change) return one.change;
    const value = one.scores[scorer];
    if (value === undefined) return one.failed ? "error" : "not judged";
    return value >= data.good ? "good" : "bad";
  };

  const tests = {
    segment: (one, wanted) => one.segment === wanted,
    result: (one, wanted, scorer) => (wanted === "error" ? one.failed : state(one, scorer) === wanted),
    search: (one, wanted) => one.sought.includes(wanted.toLowerCase()),
    group: (one, wanted) => {
      const [field, value] = JSON.parse(wanted);
      return one.groups[field] === value;
    },
  };

  const answerOf = (answer, words, tag) => {
    const node = document.createElement("div");
    if (answer.error) node.append(make("p", "said", answer.error));
    else if (words) node.append(marked(words, tag));
    else node.append(make("p", "said", answer.text || "(empty)"));
    const scores = make("ul", "scores");
    for (const [name, value, why] of answer.scores)
      scores.append(make("li", "", `${name}: ${percent(value)}${why ? ` (${why})` : ""}`));
    node.append(scores, make("p", "about", answer.about));
    return node;
  };

  const detail = (one) => {
    const node = make("div", "detail");
    for (const [role, text] of one.turns) node.append(make("h4", "", role), make("p", "said", text));
    if (one.documents.length) {
      const passages = document.createElement("details");
      passages.append(make("summary", "about", `${one.documents.length} passages were handed over`));
      for (const [id, text] of one.documents) passages.append(make("h4", "", id), make("p", "said", text));
      node.append(passages);
    }
    if (one.expected) node.append(make("h4", "", "what a good answer is held against"), make("p", "said", one.expected));
    const repeats = Math.max(...one.sides.map((answers) => answers.length));
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const sides = make("div", "sides");
      const pair = one.sides.map((answers) => answers[repeat]);
      const both = pair.length === 2 && pair.every((answer) => answer && !answer.error);
      const words = both ? difference(pair[0].text, pair[1].text) : [];
      pair.forEach((answer, side) => {
        const column = document.createElement("div");
        const again = repeats > 1 ? `, time ${repeat + 1} of ${repeats}` : "";
        column.append(make("h4", "", data.sides[side] + again));
        column.append(answer ? answerOf(answer, words[side], side ? "ins" : "del") : make("p", "soft", "not asked"));
        sides.append(column);
      });
      node.append(sides);
    }
    const told = Object.entries(one.groups).map(([field, value]) => `${field}: ${value}`);
    node.append(make("p", "about", [`case ${one.id}`, `segment ${one.segment}`, ...told].join(" · ")));
    return node;
  };

  const line = (one, scorer) => {
    const node = make("details", "case");
    const head = document.createElement("summary");
    const what = state(one, scorer);
    const kind = { gained: "good", lost: "bad" }[what] || what;
    const failed = one.failed && !one.change ? "error" : "";
    const last = one.turns.findLast((turn) => turn[0] === "user") || ["", one.id];
    head.append(
      make("span", `badge ${failed || kind}`, failed || what),
      make("span", "question", last[1]),
      make("span", "segment", one.segment),
    );
    node.append(head);
    node.addEventListener("toggle", () => {
      if (node.open && node.children.length === 1) node.append(detail(one));
    });
    return node;
  };

  let found = [];
  let drawn = 0;
  let scorer = data.quality;
  const extend = () => {
    const next = found.slice(drawn, drawn + STEP);
    list.append(...next.map((one) => line(one, scorer)));
    drawn += next.length;
    more.hidden = drawn >= found.length;
    more.textContent = `Show ${Math.min(STEP, found.length - drawn)} more`;
  };
  const refresh = () => {
    const wanted = Object.fromEntries(controls.map((control) => [control.dataset.filter, control.value.trim()]));
    scorer = wanted.scorer || data.quality;
    const asked = Object.entries(tests).filter(([name]) => wanted[name]);
    found = data.cases.filter((one) => asked.every(([name, test]) => test(one, wanted[name], scorer)));
    drawn = 0;
    list.replaceChildren();
    extend();
    count.textContent = `${number(found.length)} of ${number(data.cases.length)} cases`;
  };
  more.addEventListener("click", () => {
    const next = list.children.length;
    extend();
    list.children[next].querySelector("summary").focus();
  });
  for (const control of controls) control.addEventListener("input", refresh);
  refresh();
})();
