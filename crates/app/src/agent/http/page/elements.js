// What the page shows is what the agent has told it: lists when it begins, and every change since. Here is what every
// part of the page has in common: its bounds, what is known, and how text, drawings and times are made. Whatever comes
// from elsewhere becomes text and never markup.
"use strict";

const MOST_LOADED = 3000; // origins that are kept here; of a larger fleet those in trouble, and what is searched for
const MOST_ROWS = 300; // origins that are shown at once
const MOST_CHANGES = 100; // changes in the list
const MOST_HISTORY = 32; // ups and downs of one origin
const MOST_NAMED = 40; // members that are shown by name; more become tiles
const MOST_PAIRS = 4; // places that are shown by name in a row; more become a strip
const MINUTE = 60e3;
const WINDOWS = [5, 15, 60]; // minutes that a strip of history may show: the fewest that hold what is known

const ORDER = ["down", "partly", "unknown", "up"];
const token = new URLSearchParams(location.search).get("token");
const $ = (id) => document.getElementById(id);

const known = { agent: null, place: null, inside: false, ready: false, members: new Map(), origins: new Map(),
  places: [], counts: {}, isWhole: true, changes: [], reached: [] };
const shown = { search: "", condition: null, open: new Map(), found: null };

function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined) continue;
    if (property in made) made[property] = value; else made.setAttribute(property, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawing(width, shapes, label) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "strip");
  svg.setAttribute("viewBox", `0 0 ${width} 16`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  for (const [kind, path] of Object.entries(shapes)) {
    if (!path) continue;
    const shape = document.createElementNS(space, "path");
    shape.setAttribute("class", kind);
    shape.setAttribute("d", path);
    svg.append(shape);
  }
  return svg;
}

// What is up lies low and what is down stands tall, so that nobody needs to tell the colours apart.
function bar(state, from, to) {
  const [top, height] = { up: [10, 6], down: [0, 16], unknown: [14, 2] }[state];
  return `M${from.toFixed(2)} ${top}H${to.toFixed(2)}V${top + height}H${from.toFixed(2)}Z`;
}

const number = (value) => value.toLocaleString("en");
const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

// The agent's clock may not be this one's. Times are reckoned by the agent's.
let behind = 0;
const now = () => Date.now() - behind;
const clock = (at) => new Date(at + behind).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
