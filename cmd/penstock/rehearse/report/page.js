(function () {
"use strict";
// Draws the charts. Every series is named in words: in the legend, and on the chart itself.
var run = JSON.parse(document.getElementById("data").textContent), plots = [], root = document.documentElement;
var short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }), full = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

function css(name) {
  var v = getComputedStyle(root).getPropertyValue(name).trim();
  return v.indexOf("var(") === 0 ? css(v.slice(4, -1)) : v;
}
function ms(v) { return v >= 1000 ? full.format(v / 1000) + " s" : full.format(v) + " ms"; }
function decades(u, vs) { return vs.map(function (v) { return v !== null && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null; }); }
function clock(v) { return run.seconds <= 120 ? v + " s" : Math.floor(v / 60) + ":" + String(v % 60).padStart(2, "0"); }

// stacked adds each band to the bands before it.
function stacked(series) {
  var sum = null;
  return series.map(function (s) {
    if (!s.stack) return s.v;
    sum = s.v.map(function (v, i) { return v === null ? null : v + (sum ? sum[i] || 0 : 0); });
    return sum;
  });
}

function fit(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  while (text && ctx.measureText(text + "…").width > width) text = text.slice(0, -1);
  return text ? text + "…" : "";
}

// marks shows phases and faults: a line where each begins, its name above the chart.
function marks(u) {
  var ctx = u.ctx, r = uPlot.pxRatio, box = u.bbox;
  function row(list, y, fault) {
    list.forEach(function (m) {
      var from = Math.max(box.left, u.valToPos(m.from, "x", true)), to = Math.min(box.left + box.width, u.valToPos(m.to, "x", true));
      if (to <= from) return;
      if (fault) { ctx.fillStyle = css("--fault"); ctx.fillRect(from, box.top - 18 * r, to - from, box.height + 18 * r); }
      ctx.strokeStyle = css(fault ? "--bad" : "--soft");
      ctx.lineWidth = r;
      ctx.setLineDash(fault ? [] : [2 * r, 3 * r]);
      ctx.beginPath(); ctx.moveTo(from, y); ctx.lineTo(from, box.top + box.height); ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = css(fault ? "--bad" : "--soft");
      var room = fault ? box.left + box.width - from : to - from;
      ctx.fillText(fit(ctx, m.name, room - 6 * r), from + 4 * r, y + 9 * r);
    });
  }
  ctx.save();
  ctx.font = 12 * r + "px system-ui, sans-serif";
  ctx.textAlign = "left"; ctx.textBaseline = "middle";
  row(run.faults, box.top - 18 * r, true);
  row(run.phases, box.top - 36 * r, false);
  ctx.restore();
}

// names writes a band's name into it where it is thickest, and a line's name at its end.
function names(chart, values) {
  return function (u) {
    var ctx = u.ctx, r = uPlot.pxRatio, box = u.bbox, taken = [];
    ctx.save();
    ctx.font = "600 " + 12 * r + "px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.setLineDash([]); // the last line drawn may have been a dashed one
    var below = null;
    chart.series.forEach(function (s, k) {
      if (!s.stack) return;
      var best = -1, most = 15 * r, base = below;
      values[k].forEach(function (v, i) {
        if (v === null) return;
        var thick = u.valToPos(base ? base[i] || 0 : 0, "y", true) - u.valToPos(v, "y", true);
        if (thick > most * 1.02) { most = thick; best = i; }
      });
      below = values[k];
      if (best < 0) return;
      var name = fit(ctx, s.label, box.width / 2), half = ctx.measureText(name).width / 2 + 6 * r;
      var x = Math.min(Math.max(u.valToPos(best + .5, "x", true), box.left + half), box.left + box.width - half);
      var at = Math.min(run.seconds - 1, Math.max(0, Math.floor(u.posToVal((x - box.left) / r, "x"))));
      var top = u.valToPos(values[k][at], "y", true), bottom = u.valToPos(base ? base[at] || 0 : 0, "y", true);
      if (bottom - top < 14 * r) return;
      ctx.textAlign = "center";
      ctx.lineWidth = 3 * r; ctx.strokeStyle = css("--card"); ctx.lineJoin = "round";
      ctx.strokeText(name, x, (top + bottom) / 2);
      ctx.fillStyle = css("--ink");
      ctx.fillText(name, x, (top + bottom) / 2);
    });
    ctx.textAlign = "left";
    chart.series.map(function (s, k) {
      var i = values[k].length - 1;
      while (i >= 0 && values[k][i] === null) i--;
      return s.stack || i < 0 ? null : { s: s, y: u.valToPos(values[k][i], "y", true) };
    }).filter(Boolean).sort(function (a, b) { return a.y - b.y; }).forEach(function (l) {
      var y = l.y;
      if (taken.length) y = Math.max(y, taken[taken.length - 1] + 14 * r);
      taken.push(y);
      ctx.fillStyle = css("--t" + l.s.tone);
      ctx.fillText(fit(ctx, l.s.label, 110 * r), box.left + box.width + 6 * r, y);
    });
    ctx.restore();
  };
}

function draw(chart) {
  var at = document.getElementById(chart.id), values = stacked(chart.series), xs = [], i;
  var out = at.nextElementSibling.querySelectorAll("b");
  for (i = 0; i <= run.seconds; i++) xs.push(i);
  // A second lasts until the next begins: the last one too.
  var rows = values.map(function (v) { return chart.log ? v.concat([null]) : v.concat([v[v.length - 1]]); });
  var fine = run.seconds > 240; // many seconds: thin lines
  var step = uPlot.paths.stepped({ align: 1 }), bands = [], last = 0;
  var series = [{}].concat(chart.series.map(function (s, k) {
    var tone = css("--t" + s.tone);
    if (s.stack) {
      if (last) bands.push({ series: [k + 1, last] });
      last = k + 1;
      return { label: s.label, stroke: css("--card"), width: fine ? 0 : 1, fill: tone, paths: step, points: { show: false } };
    }
    var lone = { size: 5 };
    return { label: s.label, stroke: tone, width: fine ? 1 : 2, dash: s.dash ? [5, 4] : undefined, paths: chart.log ? undefined : step, points: chart.log ? lone : { show: false } };
  }));
  var axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
  var coarse = chart.log ? { filter: decades } : {};
  var lines = chart.series.some(function (s) { return !s.stack; });
  var u = new uPlot({
    width: at.clientWidth, height: at.clientHeight, padding: [44, lines ? 118 : 16, 0, 0], series: series, bands: bands,
    legend: { show: false },
    cursor: { sync: { key: "run" }, drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, range: [0, Math.max(1, run.seconds)] }, y: chart.log ? { distr: 3 } : { range: function (u, min, max) { return [0, max > 0 ? max * 1.05 : 1]; } } },
    axes: [
      Object.assign({}, axis, { size: 32, values: function (u, vs) { return vs.map(clock); }, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600], space: 60 }),
      Object.assign({}, axis, { size: 64, grid: Object.assign({}, axis.grid, coarse), ticks: Object.assign({}, axis.ticks, coarse), values: function (u, vs) { return vs.map(function (v) { return v === null ? "" : chart.log ? ms(v) : short.format(v); }); } }),
    ],
    hooks: {
      drawAxes: [marks], draw: [names(chart, values)],
      setCursor: [function (u) {
        var i = u.cursor.idx;
        chart.series.forEach(function (s, k) {
          var v = i === null || i === undefined ? null : s.v[Math.min(i, run.seconds - 1)];
          out[k].textContent = v === null || v === undefined ? "" : chart.unit === "ms" ? ms(v) : full.format(v);
        });
      }],
    },
  }, [xs].concat(rows), at);
  plots.push(u);
}

function all() {
  plots.forEach(function (u) { u.destroy(); });
  plots = [];
  run.charts.forEach(draw);
  root.dataset.drawn = plots.length;
}

all();
var width = innerWidth;
addEventListener("resize", function () { if (innerWidth !== width) { width = innerWidth; all(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
// On paper the charts are drawn in the light colours, and as wide as a page is.
addEventListener("beforeprint", function () { root.classList.add("paper"); all(); });
addEventListener("afterprint", function () { root.classList.remove("paper"); all(); });
})();
