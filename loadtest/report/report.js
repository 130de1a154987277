"use strict";
// Draws `results` (named by `labels`) with ECharts. A plot without data is left out.

const stageNames = ["queue", "decode", "preprocess", "infer", "postprocess"];
const colors = ["#3465a4", "#e08a1e", "#3f8f4f", "#c23b3b", "#7a56a8", "#17a2b8", "#8c6d46", "#d268a5", "#7f8794"];
const several = results.length > 1;

function levelName(level) {
  return level.concurrency ? "concurrency " + level.concurrency : "rate " + level.rate;
}

function shortName(level) {
  return level.concurrency ? String(level.concurrency) : level.rate + "/s";
}

function prefixed(label, name) {
  return several ? label + " · " + name : name;
}

function digits(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  if (Math.abs(value) >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(4)));
}

function eachLevel(visit) {
  results.forEach((result, i) => result.levels.forEach((level) => visit(level, labels[i], result)));
}

// The same, but the same levels of all results side by side.
function eachLevelOfAll(visit) {
  const all = [];
  eachLevel((level, label, result) => all.push({ level: level, label: label, result: result }));
  if (several) {
    all.sort((a, b) => (a.level.rate || 0) - (b.level.rate || 0) || (a.level.concurrency || 0) - (b.level.concurrency || 0));
  }
  all.forEach((one) => visit(one.level, one.label, one.result));
}

function axis(name, more) {
  return Object.assign({
    type: "value", name: name, nameLocation: "middle", nameGap: 32, nameTextStyle: { color: "#5a6478" },
    axisLabel: { formatter: digits, hideOverlap: true },
  }, more);
}

function across(name) {
  return axis(name, { nameRotate: 90, nameGap: 46 });
}

// Latencies that differ much are shown on a logarithmic scale, where the short ones remain distinguishable.
function latencyAxis(name, values) {
  const some = values.filter((v) => v > 0);
  const wide = Math.max(...some) > 10 * Math.min(...some);
  return Object.assign(across(name + (wide ? " (logarithmic)" : "")), wide ? { type: "log" } : { min: 0 });
}

function base(more) {
  return Object.assign({
    color: colors, animation: false,
    grid: { left: 66, right: 30, top: 58, bottom: 50 },
    legend: { type: "scroll", top: 6 },
    tooltip: { trigger: "item", confine: true },
  }, more);
}

function plot(title, about, option) {
  if (option.series.length === 0) return;
  const box = document.createElement("div");
  box.className = "plot";
  const head = document.createElement("h3");
  head.textContent = title;
  const text = document.createElement("p");
  text.textContent = about;
  const canvas = document.createElement("div");
  canvas.className = "canvas";
  box.append(head, text, canvas);
  document.getElementById("plots").append(box);
  const chart = echarts.init(canvas);
  chart.setOption(option);
  new ResizeObserver(() => chart.resize()).observe(canvas);
}

function escape(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span.innerHTML;
}

function throughputAgainstLatency() {
  const groups = new Map();
  eachLevel((level, label) => {
    if (!level.requests) return;
    const kind = level.purpose ? "search" : level.concurrency ? "closed loop" : "open loop";
    for (const quantile of ["p50", "p99"]) {
      const key = prefixed(label, kind + " " + quantile);
      if (!groups.has(key)) groups.set(key, { kind: kind, quantile: quantile, points: [] });
      groups.get(key).points.push({
        value: [level.throughput, level.latency[quantile + "_ms"]],
        name: shortName(level),
        itemStyle: level.passed === false ? { color: "#fff", borderColor: "#c23b3b", borderWidth: 2 } : undefined,
      });
    }
  });
  // In a comparison both quantiles of a result have its color.
  const series = [...groups].map(([name, group], i) => ({
    color: colors[(several ? Math.floor(i / 2) : i) % colors.length],
    name: name, type: "line", data: group.points, symbol: "circle", symbolSize: 8,
    lineStyle: { width: group.kind === "search" ? 0 : 2, type: group.quantile === "p50" ? "dashed" : "solid" },
    label: { show: group.quantile === "p99" && group.kind !== "search", position: "top", formatter: (p) => p.name, color: "#5a6478" },
    labelLayout: { hideOverlap: true },
  }));
  results.forEach((result, i) => {
    if (!result.search || series.length === 0) return;
    series[0].markLine = {
      silent: true, symbol: "none", lineStyle: { color: "#c23b3b", type: "dotted" },
      label: { formatter: "limit of p99", position: "insideStartTop" }, data: [{ yAxis: result.search.p99_below_ms }],
    };
  });
  const latencies = [...groups.values()].flatMap((group) => group.points.map((p) => p.value[1]));
  plot("Throughput against latency", "Each point is a level; its number is the concurrency or the rate.", base({
    xAxis: axis("images a second", { min: 0 }), yAxis: latencyAxis("latency, ms", latencies), series: series,
    tooltip: {
      trigger: "item", confine: true,
      formatter: (p) => `${escape(p.seriesName)}, ${escape(p.name)}<br>${digits(p.value[0])} images/s<br>${digits(p.value[1])} ms`,
    },
  }));
}

// A percentile p stands at log10(100 / (100 - p)), so that each nine takes the same room.
function latencyCurves() {
  const series = [];
  eachLevel((level, label) => {
    const points = (level.latency.curve || []).filter((p) => p.percentile < 100)
      .map((p) => [Math.log10(100 / (100 - p.percentile)), p.ms, p.percentile]);
    if (points.length > 0) {
      series.push({ name: prefixed(label, levelName(level)), type: "line", showSymbol: false, data: points });
    }
  });
  const points = series.flatMap((s) => s.data);
  plot("Latency distribution", "So many of the requests were answered within the time.", base({
    xAxis: axis("percentile", {
      min: 0, max: Math.ceil(Math.max(...points.map((p) => p[0]))), interval: 1, axisLabel: { formatter: (v) => digits(100 - Math.pow(10, 2 - v)) + " %" },
    }),
    yAxis: latencyAxis("latency, ms", points.map((p) => p[1])), series: series,
    tooltip: {
      trigger: "item", confine: true,
      formatter: (p) => `${escape(p.seriesName)}<br>${digits(p.value[2])} % within ${digits(p.value[1])} ms`,
    },
  }));
}

function stacked(title, about, name, categories, rows, more) {
  plot(title, about, base({
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, confine: true, valueFormatter: digits },
    xAxis: {
      type: "category", data: categories, name: "level", nameLocation: "middle", nameGap: 32, nameTextStyle: { color: "#5a6478" },
      axisLabel: { hideOverlap: true },
    },
    yAxis: Object.assign(across(name), more),
    series: rows.map((row) => ({ name: row.name, type: "bar", stack: "all", data: row.values, itemStyle: row.style, barMaxWidth: 60 })),
  }));
}

function stagePlot() {
  const categories = [];
  const rows = stageNames.map((name) => ({ name: name, values: [] }));
  const other = { name: "other: HTTP, network, client", values: [], style: { color: "#c9ced8" } };
  eachLevelOfAll((level, label, result) => {
    const stages = (level.server && level.server.stages) || [];
    if (stages.length === 0) return;
    categories.push(prefixed(label, shortName(level)));
    let known = 0;
    rows.forEach((row) => {
      const stage = stages.find((s) => s.name === row.name);
      row.values.push(stage ? stage.mean_ms : 0);
      known += stage ? stage.mean_ms : 0;
    });
    // A latency is a request's, and stages are an image's.
    other.values.push(result.load.images_per_request === 1 ? Number(Math.max(0, level.latency.mean_ms - known).toPrecision(4)) : null);
  });
  stacked("Where the time goes", "Mean of each stage from the server metrics. With one image per request, stages and other add up to the mean latency that the client measured.",
    "mean latency, ms", categories, categories.length ? [...rows, other] : []);
}

function batchPlot() {
  const categories = [];
  const bounds = [];
  const levels = [];
  eachLevelOfAll((level, label) => {
    const batches = (level.server && level.server.batches) || [];
    if (batches.length === 0) return;
    categories.push(prefixed(label, shortName(level)));
    levels.push(batches);
    batches.forEach((b) => { if (!bounds.includes(b.up_to)) bounds.push(b.up_to); });
  });
  bounds.sort((a, b) => (a || Infinity) - (b || Infinity));
  const rows = bounds.map((bound, i) => ({
    name: bound === 0 ? "more" : bound <= 2 ? String(bound) : (bound / 2 + 1) + "–" + bound,
    values: levels.map((batches) => {
      const all = batches.reduce((sum, b) => sum + b.count, 0);
      const one = batches.find((b) => b.up_to === bound);
      return one ? Number((100 * one.count / all).toPrecision(4)) : 0;
    }),
  }));
  stacked("Batch sizes", "Share of the batches that the server ran, by their number of images.", "% of batches", categories, rows, { max: 100 });
}

function windowPlot(title, about, name, value, yAxis) {
  const series = [];
  eachLevel((level, label) => {
    if (!level.windows || level.windows.length === 0) return;
    series.push({
      name: prefixed(label, levelName(level)), type: "line", symbolSize: 6, lineStyle: { type: level.stable ? "solid" : "dashed" },
      data: level.windows.map((w) => [w.start_s + w.seconds, value(w)]),
    });
  });
  plot(title, about, base({
    xAxis: axis("seconds of the level's load", { min: 0 }), series: series,
    yAxis: yAxis(name, series.flatMap((s) => s.data.map((p) => p[1]))),
    tooltip: { trigger: "item", confine: true, formatter: (p) => `${escape(p.seriesName)}<br>${digits(p.value[1])} ${escape(name)}` },
  }));
}

function gpuPlots() {
  const kinds = [
    ["GPU utilization", "Share of time in which a kernel ran.", "%", (s) => s.utilization, 100],
    ["GPU memory", "In use by all processes.", "GiB", (s) => s.memory_bytes, 1 / (1 << 30)],
    ["GPU power", "", "W", (s) => s.watts, 1],
  ];
  for (const [title, about, unit, value, factor] of kinds) {
    const series = [];
    results.forEach((result, i) => (result.gpus || []).forEach((gpu) => {
      const points = gpu.samples.filter((s) => value(s) !== undefined).map((s) => [s.s, value(s) * factor]);
      if (points.length > 0) {
        series.push({ name: prefixed(labels[i], gpu.index + " " + gpu.name), type: "line", showSymbol: false, data: points });
      }
    }));
    plot(title, about, base({
      tooltip: { trigger: "axis", confine: true, valueFormatter: digits },
      xAxis: axis("seconds of the test", { min: 0 }), yAxis: across(unit), series: series,
    }));
  }
}

throughputAgainstLatency();
latencyCurves();
stagePlot();
batchPlot();
windowPlot("Throughput by window", "A level is stable once three windows in a row agree; dashed: it never was.", "images/s",
  (w) => w.throughput, (name) => across(name));
windowPlot("p99 by window", "The same windows.", "ms", (w) => w.p99_ms, latencyAxis);
gpuPlots();
