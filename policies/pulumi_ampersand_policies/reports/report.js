"use strict";
// Lists the findings: searched, filtered, sorted and in pages. Everything is put in as text, never as HTML.
(() => {
  const PAGE = 50;
  const PRINTED = 500;
  const CUT = 60;
  const [SEVERITY, RULE, CONNECTION, PROVIDER, CUSTOMER, MESSAGE, STATE, FLAGS] = Array(8).keys();
  const [PROJECT, GROUP, CONSUMER, ENFORCEMENT, ADVICE, COMMAND, FINGERPRINT, WAIVER] = Array.from({ length: 8 }, (_, n) => 8 + n);
  const BREAKS = 1;
  const NEW = 2;
  const SVG = "http://www.w3.org/2000/svg";

  const byId = (id) => document.getElementById(id);
  const { findings, rules, severities, waivers } = JSON.parse(byId("data").textContent);
  const filters = byId("filters");
  const control = Object.fromEntries(["search", "severity", "state", "rule", "provider", "order"].map((id) => [id, byId(id)]));
  const headers = [...document.querySelectorAll("#table th[data-sort]")];
  const sorting = { by: "severity", down: true };
  let chosen = findings;
  let page = 0;
  let texts = null;

  const number = (value) => value.toLocaleString("en");
  const states = ["tolerated", "waived", "open"];
  const keys = {
    severity: (row) => -row[SEVERITY],
    rule: (row) => rules[row[RULE]],
    connection: (row) => row[CONNECTION],
    customer: (row) => row[CUSTOMER].toLowerCase(),
    state: (row) => (row[FLAGS] & BREAKS ? 3 : states.indexOf(row[STATE])),
  };
  // What is bad comes first, and names begin with A, unless asked otherwise.
  const falling = new Set(["severity", "state"]);

  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  function cell(label, ...children) {
    const made = element("td", "", ...children);
    made.dataset.label = label;
    return made;
  }

  function severityOf(name) {
    const icon = document.createElementNS(SVG, "svg");
    icon.setAttribute("class", `icon ${name}`);
    icon.setAttribute("aria-hidden", "true");
    icon.setAttribute("focusable", "false");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `#i-${name}`);
    icon.append(use);
    return element("span", `severity ${name}`, icon, name);
  }

  function copyButton(command, code) {
    const button = element("button", "copy", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy the command ${command}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
      }
    });
    return button;
  }

  function fillDetails(row, details) {
    const list = element("dl", "");
    const add = (name, ...values) => list.append(element("dt", "", name), element("dd", "", ...values));
    if (row[COMMAND]) {
      const code = element("code", "command", element("bdi", "", row[COMMAND]));
      add("Remedy", `${row[ADVICE]}: `, code, copyButton(row[COMMAND], code));
    } else {
      add("Remedy", row[ADVICE]);
    }
    if (row[WAIVER] >= 0) {
      const waiver = waivers[row[WAIVER]];
      const by = element("bdi", "", waiver.approvedBy);
      add("Waiver", `until ${waiver.expires}, approved by `, by, ": ", element("bdi", "", waiver.reason));
    }
    for (const [name, column] of Object.entries({ Connection: CONNECTION, Provider: PROVIDER })) {
      if (row[column].length > CUT) add(name, element("bdi", "id", row[column]));
    }
    const more = { Project: PROJECT, Group: GROUP, Consumer: CONSUMER, Enforcement: ENFORCEMENT, Fingerprint: FINGERPRINT };
    for (const [name, column] of Object.entries(more)) {
      if (row[column]) add(name, element("bdi", "id", row[column]));
    }
    details.append(list);
  }

  function rowOf(row, open) {
    const details = element("details", "", element("summary", "", "Remedy and details"));
    const fill = () => details.children.length > 1 || fillDetails(row, details);
    if (open) fill();
    details.open = open;
    details.addEventListener("toggle", fill);
    const state = row[FLAGS] & BREAKS ? "breaks" : row[STATE];
    return element(
      "tr",
      "",
      cell("Severity", severityOf(severities[row[SEVERITY]])),
      cell("Rule", rules[row[RULE]]),
      cell("Connection", element("bdi", "id clamp", row[CONNECTION] || "–"), element("bdi", "sub clamp", row[PROVIDER])),
      cell("Customer", element("bdi", "clamp", row[CUSTOMER] || "–")),
      cell("What", element("bdi", "", row[MESSAGE]), details),
      cell(
        "State",
        element("span", `state ${state}`, state),
        row[FLAGS] & NEW ? element("span", "state new", "new") : null,
      ),
    );
  }

  function textOf(row) {
    const found = [CONNECTION, PROVIDER, CUSTOMER, MESSAGE, PROJECT, GROUP, CONSUMER, FINGERPRINT].map((column) => row[column]);
    return [rules[row[RULE]], severities[row[SEVERITY]], row[STATE], ...found].join("\n").toLowerCase();
  }

  function choose() {
    const words = control.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && texts === null) texts = new Map(findings.map((row) => [row, textOf(row)]));
    const { severity, state, rule, provider } = control;
    chosen = findings.filter(
      (row) =>
        (severity.value === "" || row[SEVERITY] === Number(severity.value)) &&
        (rule.value === "" || row[RULE] === Number(rule.value)) &&
        (provider.value === "" || row[PROVIDER] === providers[Number(provider.value)]) &&
        (state.value === "" ||
          (state.value === "breaks" && row[FLAGS] & BREAKS) ||
          (state.value === "new" && row[FLAGS] & NEW) ||
          row[STATE] === state.value) &&
        words.every((word) => texts.get(row).includes(word)),
    );
    if (sorting.by !== "severity" || !sorting.down) {
      const key = keys[sorting.by];
      const sign = sorting.down ? -1 : 1;
      const sortable = chosen.map((row) => [key(row), row]);
      sortable.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
      chosen = sortable.map(([, row]) => row);
    }
    page = 0;
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    const start = page * PAGE;
    const rows = chosen.slice(start, start + PAGE);
    byId("rows").replaceChildren(...rows.map((row) => rowOf(row, false)));
    const all = `${number(findings.length)} finding${findings.length === 1 ? "" : "s"}`;
    const matching = chosen.length === findings.length ? all : `${number(chosen.length)} matching, of ${all}`;
    byId("shown").textContent = rows.length
      ? `Showing ${number(start + 1)} to ${number(start + rows.length)} of ${matching}.`
      : `Nothing matches, of ${all}.`;
    byId("page").textContent = `Page ${number(page + 1)} of ${number(pages)}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = page >= pages - 1;
    byId("pager").hidden = pages === 1;
    for (const header of headers) {
      if (header.dataset.sort !== sorting.by) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
    }
    control.order.value = sorting.by;
  }

  function turn(by) {
    page += by;
    show();
    // A button that can't be pressed any more would keep the focus and ignore keys.
    if (document.activeElement.disabled || document.activeElement === document.body) {
      byId(by > 0 ? "previous" : "next").focus();
    }
    byId("findings").scrollIntoView();
  }

  function sortBy(name, down) {
    sorting.by = name;
    sorting.down = down;
    choose();
  }

  function offer(select, names) {
    for (const [value, name] of names) {
      const text = name.length > CUT ? `${name.slice(0, CUT - 1)}…` : name;
      const option = element("option", "", text || "–");
      option.value = value;
      select.append(option);
    }
  }

  const providers = [...new Set(findings.map((row) => row[PROVIDER]))].sort();
  const severe = new Set(findings.map((row) => row[SEVERITY]));
  offer(control.severity, [...severities.entries()].filter(([value]) => severe.has(value)));
  offer(control.rule, rules.entries());
  offer(control.provider, providers.entries());

  const buttons = new Map();
  for (const header of headers) {
    const name = header.dataset.sort;
    const button = element("button", "", header.textContent);
    button.type = "button";
    button.addEventListener("click", () => sortBy(name, sorting.by === name ? !sorting.down : falling.has(name)));
    buttons.set(header, button);
    header.replaceChildren(button);
  }

  let waiting = 0;
  control.search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 120);
  });
  for (const name of ["severity", "state", "rule", "provider"]) control[name].addEventListener("change", choose);
  control.order.addEventListener("change", () => sortBy(control.order.value, falling.has(control.order.value)));
  byId("reset").addEventListener("click", () => {
    for (const name of ["search", "severity", "state", "rule", "provider"]) control[name].value = "";
    sortBy("severity", true);
  });
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));

  // On paper: all that the filters let through, with its details.
  let closed = [];
  addEventListener("beforeprint", () => {
    const rows = chosen.slice(0, PRINTED);
    byId("rows").replaceChildren(...rows.map((row) => rowOf(row, true)));
    // On the second page and later ones, headers are repeated without their buttons.
    for (const [header, button] of buttons) header.replaceChildren(button.textContent);
    const filtered = chosen.length === findings.length ? "" : `, chosen from ${number(findings.length)} by filters`;
    const cut = rows.length < chosen.length ? `the first ${number(rows.length)} of ` : "";
    byId("shown").textContent = `Printed: ${cut}${number(chosen.length)} findings${filtered}.`;
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
    for (const [header, button] of buttons) header.replaceChildren(button);
    show();
  });

  filters.hidden = false;
  show();
})();
