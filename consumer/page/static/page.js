// What is better with JavaScript, and works without: a chart to zoom into, and figures that renew themselves.
"use strict";

const LIVE_SECONDS = 10;
const HEIGHT = 200; // of the chart, in pixels

function styled(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chartOptions(plot, data, zone) {
  const grid = { stroke: styled("--line"), width: 1 };
  const axis = { stroke: styled("--soft"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
  const step = data[0].length > 1 ? Math.min(...data[0].slice(1).map((x, n) => x - data[0][n])) : 86400;
  const days = step >= 86400;
  // Days are drawn as if they were UTC's, hours where they are; sv-SE writes times as ISO 8601 does.
  const clocks = days ? "UTC" : zone;
  const name = (seconds) => new Date(seconds * 1000).toLocaleString("sv-SE", { timeZone: clocks }).slice(0, days ? 10 : 16);
  const count = (_, n) => n === null || n === undefined ? "" : n.toLocaleString("en");
  const series = [
    { label: "", value: (_, x) => x === null ? "" : name(x) },
    { label: "Requests", value: count, stroke: styled("--requests"), fill: styled("--requests"), width: 1, paths: uPlot.paths.bars({ size: [0.8, 60] }), points: { show: false } },
    { label: "Visitors", value: count, stroke: styled("--visitors"), width: 2, show: data[2].some((n) => n !== null), points: { show: data[0].length < 40 } },
    { label: "4xx", value: count, stroke: styled("--soft"), width: 1, show: false },
    { label: "5xx", value: count, stroke: styled("--bad"), width: 1, show: false },
    { label: "Requests before", value: count, stroke: styled("--soft"), width: 1.5, dash: [5, 4], points: { show: false } },
  ].slice(0, data.length);
  return {
    width: plot.clientWidth, height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), clocks), series,
    axes: [{ ...axis, size: 32, ...(days && { incrs: [1, 2, 7, 14, 28, 91, 364].map((n) => n * 86400) }), space: 90, values: (_, splits) => splits.map(days ? name : (x) => name(x).slice(5)) }, { ...axis, size: 64, values: (_, splits) => splits.map((n) => n.toLocaleString("en")) }],
    scales: { x: { range: (_, low, high) => [low - step / 2, high + step / 2] }, y: { range: (_, low, high) => [0, 1.05 * high || 1] } },
    cursor: { drag: { x: true, y: false } },
    legend: { live: true },
    hooks: { setSelect: [(chart) => zoomed(chart, clocks)] },
  };
}

// The days that were drawn over become the range.
function zoomed(chart, clocks) {
  if (chart.select.width < 8) return;
  const day = (at) => new Date(chart.posToVal(at, "x") * 1000).toLocaleString("sv-SE", { timeZone: clocks }).slice(0, 10);
  const address = new URL(location.href);
  address.searchParams.delete("range");
  address.searchParams.delete("by");
  address.searchParams.set("from", day(chart.select.left));
  address.searchParams.set("to", day(chart.select.left + chart.select.width));
  location.assign(address);
}

async function drawChart() {
  const plot = document.getElementById("plot");
  const source = document.getElementById("series");
  if (!plot || !source || typeof uPlot === "undefined") return;
  const response = await fetch(source.href);
  if (!response.ok) return;
  const answer = await response.json();
  if (answer.rows.length < 2) return;
  const column = (name) => answer.rows.map((row) => row[name]);
  const names = ["requests", "visitors", "client_errors", "server_errors", "requests_before"].filter((name) => answer.columns.includes(name));
  const data = [column("time").map((time) => Date.parse(time) / 1000), ...names.map(column)];
  const drawing = plot.querySelector("svg");
  const holder = document.createElement("div");
  holder.setAttribute("aria-hidden", "true");
  plot.append(holder);
  drawing.classList.add("off");
  const chart = new uPlot(chartOptions(plot, data, answer.time_zone), data, holder);
  document.querySelector(".hint").textContent = "; draw over days to zoom in";
  new ResizeObserver(() => chart.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(plot);
}

// The last minutes: bars, their titles, and the rows of the table.
function drawMinutes(minutes) {
  const tile = document.getElementById("live");
  const [bars, rows] = [tile.querySelectorAll("svg rect"), tile.querySelectorAll("tbody tr")];
  if (!minutes || bars.length !== minutes.rows.length) return; // the page had none when it was loaded
  const most = Math.max(1, ...minutes.rows.map((row) => row.requests));
  minutes.rows.forEach(({ time, requests }, n) => {
    const [name, number, height] = [time.slice(11, 16), requests.toLocaleString("en"), 40 * requests / most];
    bars[n].setAttribute("y", 40 - height);
    bars[n].setAttribute("height", height);
    bars[n].firstElementChild.textContent = `${name}: ${number} requests`;
    rows[n].cells[0].textContent = name;
    rows[n].cells[1].textContent = number;
  });
  tile.querySelector("[data-minutes]").textContent = minutes.as_of.slice(11, 19);
}

async function renew() {
  if (document.hidden) return;
  const zone = new URLSearchParams(location.search).get("tz");
  const response = await fetch(zone ? `/api/live?tz=${encodeURIComponent(zone)}` : "/api/live");
  if (!response.ok) return;
  const answer = await response.json();
  const tile = document.getElementById("live");
  if (tile && answer.live) {
    drawMinutes(answer.live.minutes);
    for (const place of tile.querySelectorAll("[data-live]")) {
      const value = answer.live[place.dataset.live];
      place.textContent = place.dataset.live === "as_of" ? value.slice(11, 19) : place.dataset.live === "version" ? value : value.toLocaleString("en");
    }
  }
  const tiles = document.querySelector("[data-version]");
  const isNew = tiles && JSON.stringify(JSON.parse(tiles.dataset.version)) !== JSON.stringify(answer.version);
  // Not under somebody's hands: who has scrolled down or typed is left alone.
  if (isNew && scrollY < 40 && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) location.reload();
}

drawChart().catch(() => {});
if (document.querySelector("[data-version]")) setInterval(() => renew().catch(() => {}), LIVE_SECONDS * 1000);
