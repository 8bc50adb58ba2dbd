// Charts, copy buttons, the search key and the confirmation of bulk actions; everything else is HTML and htmx.
(() => {
  // light-dark() is resolved by the browser where it is used, so a colour is read from an element that uses it
  const resolved = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const faded = (rgb, share) => rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);

  // data: {x: [days since 1970], series: [{label, values, kind: "line"|"bars"|"low"|"high"}], unit, today}
  function draw(figure) {
    const place = figure.querySelector(".plot");
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const height = place.classList.contains("low") ? 150 : 220; // the legend below takes what it needs
    const ink = resolved("--soft"), blue = resolved("--blue"), amber = resolved("--amber"), line = resolved("--line");
    const series = [{ label: data.x_label, value: (u, v) => (v == null ? "" : new Date(v * 1000).toISOString().slice(0, 10)) }];
    const bands = [];
    data.series.forEach((one, index) => {
      const own = { label: one.label, value: (u, v) => (v == null ? "–" : `${v.toLocaleString(data.lang)} ${data.unit}`), points: { show: false } };
      if (one.kind === "bars") Object.assign(own, { stroke: faded(blue, [1, 0.8, 0.6, 0.5][one.tone ?? 0]), fill: faded(blue, [one.tone == null ? 0.35 : 0.75, 0.4, 0.2, 0.07][one.tone ?? 0]), paths: uPlot.paths.bars({ size: [0.8, 40] }) });
      else if (one.kind === "line") Object.assign(own, { stroke: one.ahead ? amber : blue, width: 2, dash: one.ahead ? [6, 4] : undefined });
      else Object.assign(own, { stroke: faded(amber, 0.5), width: 1 });
      if (one.kind === "high") bands.push({ series: [index + 1, index + 2], fill: faded(amber, 0.18) });
      series.push(own);
    });
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    const options = {
      width: place.clientWidth, height, series, bands, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      axes: [{ ...axis, incrs: [1, 2, 7, 14, 30, 91, 182, 365].map((days) => days * 86400), values: (u, all) => all.map((v) => new Date(v * 1000).toISOString().slice(5, 10)) },
             { ...axis, size: 64, values: (u, all) => all.map((v) => v.toLocaleString(data.lang)) }],
      scales: { x: { range: (u, first, last) => [first - 43200, last + 43200] }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      hooks: { draw: [(u) => {
        if (data.today == null) return;
        const x = u.valToPos(data.today, "x", true);
        u.ctx.save(); u.ctx.strokeStyle = ink; u.ctx.setLineDash([2, 3]); u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke(); u.ctx.restore();
      }] },
    };
    place.replaceChildren();
    const plot = new uPlot(options, [data.x, ...data.series.map((one) => one.values)], place);
    const says = figure.querySelector("[aria-live]");
    place.tabIndex = 0;
    let at = data.x.length - 1;
    place.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -data.x.length, End: data.x.length }[event.key];
      if (!step) return;
      event.preventDefault();
      at = Math.min(Math.max(at + step, 0), data.x.length - 1);
      plot.setCursor({ left: plot.valToPos(data.x[at], "x"), top: 10 });
      says.textContent = [new Date(data.x[at] * 1000).toISOString().slice(0, 10),
        ...data.series.filter((one) => one.values[at] != null).map((one) => `${one.label} ${one.values[at].toLocaleString(data.lang)} ${data.unit}`)].join(", ");
    };
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height })).observe(place);
  }

  // a link of `simsight serve --sign-in` has the key behind the #, which is not sent by itself
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.querySelector(".sign #key");
    if (!field || !location.hash.startsWith("#ss_")) return;
    field.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    field.form.submit();
  });

  // on a phone the tabs scroll: the one that is open is in sight
  document.addEventListener("DOMContentLoaded", () => {
    const tabs = document.querySelector(".bar nav"), open = tabs?.querySelector("[aria-current]");
    if (open) tabs.scrollLeft = open.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - open.clientWidth) / 2;
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (matchMedia("(max-width: 640px)").matches) document.querySelectorAll("details.side").forEach((one) => one.removeAttribute("open"));
  });

  // the time zone of a new schedule is that of the browser until somebody writes another
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("input[data-zone]").forEach((one) => {
    one.value = Intl.DateTimeFormat().resolvedOptions().timeZone || one.value;
  }));

  const start = (root) => root.querySelectorAll("figure.chart:not([data-drawn])").forEach((figure) => {
    figure.dataset.drawn = "";
    draw(figure);
  });
  document.addEventListener("DOMContentLoaded", () => start(document));
  document.addEventListener("htmx:after:swap", () => start(document));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll("figure.chart").forEach(draw));

  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    if (event.key === "/" && search && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  });
  // ticks: one for all on the page; a phrase lets its button be pressed once it is typed
  document.addEventListener("change", (event) => {
    const name = event.target.dataset?.all;
    if (name) document.querySelectorAll(`input[type=checkbox][name="${name}"]`).forEach((one) => { one.checked = event.target.checked; });
  });
  document.addEventListener("input", (event) => {
    const phrase = event.target.dataset?.phrase;
    if (phrase) event.target.form.querySelector("button.main").disabled = event.target.value.trim() !== phrase;
  });
  // what went wrong with a request is told in words; what was shown stays
  const told = (text) => { const place = document.querySelector("#told"); if (place) place.textContent = text; };
  document.addEventListener("htmx:before:request", () => told(""));
  document.addEventListener("htmx:response:error", (event) => {
    let detail = "";
    try { detail = JSON.parse(event.detail.ctx.text).detail; } catch { /* not ours */ }
    told(detail || document.querySelector("#told").dataset.failed);
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.target.closest?.(".live")) told(document.querySelector("#told").dataset.failed);
  });
  // live updates that break off are said to have, until they come again
  const live = (text) => document.querySelectorAll(".live[data-broken]").forEach((place) => { place.textContent = text ? place.dataset.broken : ""; });
  document.addEventListener("htmx:sse:error", () => live(true));
  document.addEventListener("htmx:sse:after:connection", () => live(false));
  // a live event makes panels ask again, at most once in two seconds
  let waiting = null;
  const EVENTS = ["opened", "severity", "acknowledged", "snoozed", "reopened", "resolved"];
  document.addEventListener("simsight:changed", () => {
    waiting ??= setTimeout(() => { waiting = null; document.body.dispatchEvent(new CustomEvent("alerts")); }, 2000);
  });
  EVENTS.forEach((name) => document.addEventListener(name, () => document.dispatchEvent(new CustomEvent("simsight:changed"))));
})();
