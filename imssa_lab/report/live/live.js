"use strict";
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const PUOR = ["#7f3b08", "#e08214", "#fdb863", "#f7f7f7", "#b2abd2", "#8073ac", "#2d004b"];
const PERIOD = 700;
const token = location.hash.slice(1);
const by = id => document.getElementById(id);
let chosen = "", asked = false, over = false;

const channels = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
const table = colours => {
  const stops = colours.map(channels);
  return share => {
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1), low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((value, channel) => value + (place - low) * (stops[low + 1][channel] - value));
  };
};
const cividis = table(CIVIDIS), puor = table(PUOR);

function draw(canvas, rows, cols, values, low, high, colour) {
  canvas.width = cols;
  canvas.height = rows;
  const picture = new ImageData(cols, rows);
  values.forEach((value, cell) => {
    if (value !== null) picture.data.set([...colour((value - low) / (high - low)), 255], 4 * cell);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function line(curve) {
  const top = Math.max(1, ...curve.map(point => point[0]));
  const x = value => 34 + 276 * value / top, y = value => 196 - 180 * value / 100;
  const grid = [0, 25, 50, 75, 100].map(value =>
    `<line x1="34" x2="310" y1="${y(value)}" y2="${y(value)}"></line><text x="4" y="${y(value) + 4}">${value}</text>`);
  grid.push(`<text x="34" y="214">0</text><text x="310" y="214" text-anchor="end">${top} pulses</text>`);
  by("grid").innerHTML = grid.join("");
  by("line").setAttribute("points", curve.map(([pulses, share]) => `${x(pulses)},${y(share)}`).join(" "));
}

function fill(id, head, rows) {
  const body = [head, ...rows].map((row, number) => {
    const line = document.createElement("tr");
    for (const value of row) {
      const cell = document.createElement(number ? "td" : "th");
      cell.textContent = value;
      line.append(cell);
    }
    return line;
  });
  by(id).replaceChildren(...body);
}

function show(now) {
  const there = now.state === "running";
  by("file").textContent = now.file.split("/").pop();
  by("file").title = now.file;
  by("state").textContent = now.state + (now.behind ? `; catching up, ${now.behind} records to go` : "");
  by("state").className = `state ${there || !now.sure ? "running" : "gone"}`;
  by("safe").disabled = !there || asked || !token;
  const made = now.events.filter(event => event.kind === "make_safe").pop();
  over = !now.behind && (now.state === "ended" || now.state.startsWith("cut off"));
  if (!there && now.sure) {
    by("answer").textContent = asked && made ? "Made safe: the session has ended." :
      now.state === "ended" ? "" : "Nobody holds the array any more: switch the instrument off, or open the array again.";
  }
  by("readings").textContent = Object.entries(now.readings).map(([name, [value, unit]]) =>
    `${name} ${value === null ? "–" : value.toPrecision(5)} ${unit}`).join(", ");
  by("time").textContent = `${now.device_time.toFixed(3)} s`;
  by("within").textContent = now.within.toPrecision(3);
  by("yield").textContent = now.curve.length ? `${now.curve[now.curve.length - 1][1].toFixed(1)} %` : "–";
  const cell = now.cell;
  if (cell) {
    by("cell").textContent = `${cell.row}, ${cell.col}` + (cell.conductance === null ? "" : `: ${cell.conductance.toFixed(1)} µS`);
    by("pulse").textContent = `array ${cell.array}: ${cell.kind} ${cell.voltage.toFixed(2)} V, gate ${cell.gate.toFixed(2)} V, ` +
      `on ${cell.cells} ${cell.cells === 1 ? "cell" : "cells"}`;
  }
  const failed = Object.entries(now.link.failed).map(([kind, count]) => `${count} ${kind}`);
  by("link").textContent = failed.length ? failed.join(", ") : there ? "no call failed" : "no session";
  by("link-more").textContent = now.link.messages ?
    `${now.link.messages} messages, the last ${now.link.last_age.toFixed(0)} s ago` : "no wire in the log";
  const {wanted, read, pulses} = now.progress;
  by("progress").textContent = wanted ?
    `${wanted} cells have a target, ${read} of them were read; ${pulses} pulses to cells so far` :
    pulses ? `${pulses} pulses to cells so far, without a target` : "nothing programmed yet";
  if (by("array").length !== now.arrays.length + 1) {
    const names = ["the one at work", ...now.arrays.map((name, number) => `${number}: ${name}`)];
    by("array").replaceChildren(...names.map((name, number) => new Option(name, number ? number - 1 : "")));
    by("array").value = chosen;
  }
  const [low, high] = now.window, edge = 3 * now.within;
  draw(by("now"), now.rows, now.cols, now.now, low, high, cividis);
  const errors = now.now.map((value, cell) => value === null || now.target[cell] === null ? null : value - now.target[cell]);
  draw(by("error"), now.rows, now.cols, errors, -edge, edge, puor);
  by("low").textContent = low.toFixed(0);
  by("high").textContent = high.toFixed(0);
  by("error-low").textContent = (-edge).toFixed(0);
  by("error-high").textContent = edge.toFixed(0);
  line(now.curve);
  fill("calls", ["call", "records", "1/s"],
    Object.entries(now.calls).map(([name, call]) => [name, call.records, call.per_second.toFixed(1)]));
  fill("events", ["record", "when", "kind", "what"], [...now.events].reverse().map(event =>
    [event.seq, new Date(1000 * event.wall_time).toLocaleTimeString(), event.kind, event.text]));
}

async function look() {
  try {
    const answer = await fetch(`state?array=${chosen}`);
    const now = await answer.json();
    if (now.error) by("state").textContent = now.error;
    else show(now);
  } catch (error) {
    by("state").textContent = "the monitor has ended: start imssa monitor --web again";
    by("state").className = "state gone";
    by("safe").disabled = true;
  }
  if (!over) setTimeout(look, PERIOD);
}

by("array").addEventListener("change", event => {
  chosen = event.target.value;
  if (over) look();
});
by("safe").addEventListener("click", async () => {
  asked = true;
  by("safe").disabled = true;
  by("answer").textContent = "Asked; the session stops after the call under way ...";
  const answer = await fetch("make-safe", {method: "POST", headers: {"X-Token": token}});
  if (!answer.ok) {
    asked = false;
    by("answer").textContent = (await answer.json()).error;
  }
});
if (!token) by("answer").textContent = "For the button, open the page by the address that the terminal shows.";
look();
