// What is known, drawn: figures, members, origins and changes.

const wanted = new Set();
let timer = null;

let isPressed = false;

// Whatever comes in a burst is drawn once, and not between the two halves of a click: what was pressed must still be
// there when it is let go.
function draw(what) {
  wanted.add(what);
  if (timer === null) timer = setTimeout(() => {
    timer = null;
    if (isPressed) return draw(what);
    const has = (part) => wanted.has("all") || wanted.has(part);
    const [members, rows, changes] = [has("members"), has("origins"), has("changes")];
    wanted.clear();
    if (known.agent === null) return;
    if (members || rows) drawFigures();
    if (members) drawMembers();
    if (rows) drawOrigins();
    if (changes) drawChanges();
  }, 200);
}

const isAlive = (member) => member.state === "alive" || member.state === "suspect";

function drawFigures() {
  const members = [...known.members.values()].filter((member) => member.state !== "left");
  const alive = members.filter(isAlive).length;
  const places = new Set(members.map((member) => member.place)).size;
  const others = members.filter((member) => member.place === known.place && isAlive(member)).length - 1;
  document.title = `${known.counts.down ? `(${known.counts.down} down) ` : ""}${known.agent} · Skein edge`;
  $("agent").textContent = known.agent;
  $("standing").textContent = `in ${known.place}, `
    + (!known.inside ? "outside: no fleet has let it in" : !known.ready ? "inside, waiting to be told what the others know"
      : others ? `with ${others} other${others === 1 ? "" : "s"} of its place` : "alone in its place");
  $("standing").className = known.inside && known.ready ? "" : "trouble";
  const all = ORDER.reduce((sum, state) => sum + (known.counts[state] || 0), 0);
  const figure = (label, value, of, kind) => element("div", { className: value ? kind || "" : "zero" },
    element("dt", null, label),
    element("dd", null, number(value), of !== null && of !== value ? element("small", null, ` of ${number(of)}`) : null));
  $("figures").replaceChildren(figure(places === 1 ? "place" : "places", places, null), figure("members alive", alive, members.length),
    figure("origins up", known.counts.up || 0, all), figure("down in some places", known.counts.partly || 0, null, "partly"),
    figure("down", known.counts.down || 0, null, "down"));
}

function drawMembers() {
  const places = new Map();
  for (const member of known.members.values()) {
    if (!places.has(member.place)) places.set(member.place, []);
    places.get(member.place).push(member);
  }
  const isNamed = known.members.size <= MOST_NAMED;
  $("places").className = isNamed ? "named" : "";
  const own = (place) => (place === known.place ? 0 : 1);
  const sorted = [...places].sort(([one], [other]) => own(one) - own(other) || compare(one, other));
  const widest = Math.max(...sorted.map(([, members]) => inARow(members.length)));
  $("places").style.setProperty("--widest", `${widest * TILE}px`);
  $("places").replaceChildren(...sorted.map(([place, members]) => {
    members.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    const staying = members.filter((member) => member.state !== "left");
    const alive = staying.filter(isAlive).length;
    const count = alive === staying.length ? number(alive) : `${number(alive)} of ${number(staying.length)}`;
    const title = element("h3", null, element("span", null, place),
      element("em", { className: alive === staying.length ? "" : "hurt" }, count),
      isNamed && place === known.place ? element("em", null, "here") : null);
    const list = isNamed ? element("ul", { className: "names" }, ...members.map(named))
      : tiles(members);
    const isWell = members.every((member) => member.state === "alive") && place !== known.place;
    return element("div", { className: isWell ? "place well" : "place" }, title, list);
  }));
  // A small screen has no room for places of which there is nothing to say.
  const well = isNamed ? 0 : $("places").querySelectorAll(".well").length;
  $("well").textContent = well ? `and ${number(well)} place${well === 1 ? "" : "s"} where everybody is alive` : "";
}

const MOST_IN_A_ROW = 16;
const TILE = 10; // pixels, with what is between

// Rows of equal length: twenty are two of ten, and sixty-four are four of sixteen.
const inARow = (count) => Math.ceil(count / Math.ceil(count / MOST_IN_A_ROW));

function tiles(members) {
  const made = element("div", { className: "tiles" }, ...members.map(tile));
  made.style.maxWidth = `${inARow(members.length) * TILE}px`;
  return made;
}

function tile(member) {
  const since = member.since_ms ? `, for ${span(now() - member.since_ms)}` : "";
  const kind = `tile ${member.name === known.agent && isAlive(member) ? "me" : member.state}`;
  return element("i", { className: kind, title: `${member.name} is ${member.state}${since} (${member.address})` });
}

function named(member) {
  const state = member.state === "alive" ? "" : `${member.state} `;
  const since = member.since_ms && member.state !== "alive" ? `for ${span(now() - member.since_ms)}` : "";
  return element("li", { className: member.state, title: member.address }, tile(member), element("b", null, member.name),
    element("small", null, state + since || (member.name === known.agent ? `${member.address}, this agent` : member.address)));
}

function drawOrigins() {
  const conditions = [[null, "All"], ["down", "Down"], ["partly", "Partly"], ["unknown", "Unknown"], ["up", "Up"]];
  const all = ORDER.reduce((sum, state) => sum + (known.counts[state] || 0), 0);
  const focused = document.activeElement && document.activeElement.dataset.condition;
  $("conditions").replaceChildren(...conditions.map(([kind, label]) => {
    const button = element("button", { type: "button", "aria-pressed": String(shown.condition === kind),
      onclick: () => { shown.condition = kind; search(); } }, label,
      element("b", null, number(kind ? known.counts[kind] || 0 : all)));
    button.dataset.condition = label;
    return button;
  }));
  if (focused) $("conditions").querySelector(`[data-condition=${focused}]`).focus();
  const part = shown.search.toLowerCase();
  const isWanted = (origin) => (!shown.condition || origin.condition === shown.condition)
    && (!part || origin.name.toLowerCase().includes(part) || (origin.url || "").toLowerCase().includes(part));
  const found = [...(shown.found || known.origins).values()].filter(isWanted);
  found.sort((one, other) => ORDER.indexOf(one.condition) - ORDER.indexOf(other.condition) || compare(one.name, other.name));
  drawHeads();
  const kept = document.activeElement && document.activeElement.dataset.origin;
  $("rows").replaceChildren(...found.slice(0, MOST_ROWS).map(row));
  if (kept) {
    const again = [...$("rows").querySelectorAll("button.row")].find((button) => button.dataset.origin === kept);
    if (again) again.focus();
  }
  $("more").textContent = found.length > MOST_ROWS
    ? `${number(MOST_ROWS)} of ${number(found.length)} are shown, those in trouble first. Search for the others.`
    : found.length === 0 ? (all === 0 ? "No origin is watched in this fleet, as far as this agent knows." : "No origin is like that.")
    : "";
}

function row(origin) {
  const here = origin.places.find((place) => place.place === known.place);
  const why = (here && here.state === "down" && here) || origin.places.find((place) => place.state === "down") || here
    || origin.places[0];
  const isOpen = shown.open.has(origin.name);
  const reason = why ? [element("span", { className: `why ${why.state}` }, why.why || why.state),
    element("small", null, `${why.place}, for ${span(now() - why.since_ms)}`)]
    : [element("span", { className: "why" }, "nobody has found anything yet")];
  const button = element("button", { className: "row", type: "button", "aria-expanded": String(isOpen), onclick: () => toggle(origin.name) },
    element("span", { className: `mark ${origin.condition}`, title: origin.condition }),
    element("span", { className: "cell", title: origin.url || origin.name }, element("b", null, origin.name),
      origin.url ? element("small", null, origin.url) : null),
    element("span", { className: "cell by" }, byPlace(origin)),
    element("span", { className: "cell past" }, past(origin, here)),
    element("span", { className: `cell owner${origin.owner === known.agent ? " own" : ""}` }, origin.owner || "–"),
    element("span", { className: "cell reason", title: why ? why.why || "" : "" }, ...reason));
  button.dataset.origin = origin.name;
  return element("li", null, button, isOpen ? detail(shown.open.get(origin.name)) : null);
}

function byPlace(origin) {
  const states = new Map(origin.places.map((place) => [place.place, place.state]));
  const state = (place) => states.get(place) || "unknown";
  if (known.places.length <= MOST_PAIRS) {
    return element("span", { className: "pairs" }, ...known.places.map((place) =>
      element("span", { className: state(place), title: `${state(place)} in ${place}` }, element("i"), place)));
  }
  const paths = { up: "", unknown: "", down: "" };
  known.places.forEach((place, nth) => { paths[state(place)] += bar(state(place), nth * 4, nth * 4 + 3); });
  const down = known.places.filter((place) => state(place) === "down");
  const label = down.length ? `down in ${down.join(", ")}` : `down in none of ${known.places.length} places`;
  const strip = element("span", { title: label }, drawing(known.places.length * 4, paths, label));
  strip.style.display = "block";
  return strip;
}

let minutes = WINDOWS[0];

function drawHeads() {
  let first = now();
  for (const origin of known.origins.values()) {
    const oldest = (origin.history || []).at(-1);
    if (oldest) first = Math.min(first, oldest.at_ms);
  }
  minutes = WINDOWS.find((some) => now() - first <= some * MINUTE) || WINDOWS.at(-1);
  $("window").textContent = `Here, the last ${minutes === 60 ? "hour" : `${minutes} min`}`;
}

// What was before the first that this agent has seen stays empty: nobody here knows.
function past(origin, here) {
  const [end, paths] = [now(), { track: "M0 15H200V16H0Z", up: "", unknown: "", down: "" }];
  const from = end - minutes * MINUTE;
  let until = end;
  for (const change of origin.history || []) {
    if (until <= from) break;
    const begin = Math.max(from, Math.min(change.at_ms, until));
    // The shortest outage can be seen.
    const x = (at) => ((at - from) / (minutes * MINUTE)) * 200;
    paths[change.state] += bar(change.state, Math.min(x(begin), x(until) - 2), x(until));
    until = begin;
  }
  const changes = here ? here.changes : 0;
  const label = changes > 1 ? `${number(changes - 1)} change${changes > 2 ? "s" : ""} since it was first known here` : "no change";
  const strip = element("span", { title: label }, drawing(200, paths, label));
  strip.style.display = "block";
  return strip;
}

function toggle(name) {
  if (shown.open.delete(name)) return draw("origins");
  shown.open.set(name, { error: "asking the agent" });
  return look(name);
}

async function look(name) {
  const seen = await get(`/origins/${encodeURIComponent(name)}`).catch((error) => ({ error: error.message }));
  // It may have been closed meanwhile.
  if (shown.open.has(name)) shown.open.set(name, seen);
  draw("origins");
}

function detail(origin) {
  if (origin.error) return element("div", { className: "detail quiet" }, origin.error);
  const cells = (values, name) => values.map(([text, kind]) => element(name || "td", { className: kind || "" }, text));
  const table = (heads, lines) => element("table", null,
    element("thead", null, element("tr", null, ...cells(heads.map((head) => [head]), "th"))),
    element("tbody", null, ...lines.map((line) => element("tr", null, ...cells(line)))));
  const bad = (state) => ({ down: 0, unknown: 1, up: 2 }[state]);
  const own = (place) => (place.place === known.place ? 0 : 1);
  const places = [...origin.places].sort((one, other) => own(one) - own(other) || bad(one.state) - bad(other.state)
    || compare(one.place, other.place));
  const here = origin.places.find((place) => place.place === known.place);
  return element("div", { className: "detail" },
    table(["Place", "State", "For", "Found by", "Why", "Changes"], places.map((place) => [[place.place],
      [place.state, place.state], [span(now() - place.since_ms)], [place.by || ""], [place.why || "", "wide"],
      [number(Math.max(0, place.changes - 1))]])),
    here && here.history.length > 1 ? element("h3", null, `What changed in ${here.place}`) : null,
    here && here.history.length > 1 ? table(["When", "State", "Found by", "Why"], here.history.map((change) => [
      [`${clock(change.at_ms)}, ${span(now() - change.at_ms)} ago`], [change.state, change.state], [change.by || ""],
      [change.why || "", "wide"]])) : null);
}

function drawChanges() {
  $("still").hidden = known.changes.length > 0;
  $("changes").replaceChildren(...known.changes.map(([kind, data]) => {
    const [text, more, mood] = sentence(kind, data);
    const time = element("time", { dateTime: new Date(data.at_ms).toISOString(), title: clock(data.at_ms) }, span(now() - data.at_ms));
    time.dataset.at = data.at_ms;
    const below = [more, reach(data)].filter(Boolean).join(", ");
    return element("li", { className: mood || "" }, element("p", null, ...text), time, below ? element("small", null, below) : null);
  }));
}

// At how many others a change is known to be: at those that had seen the same as this agent since it came here.
function reach(data) {
  const arrivals = data.arrivals === undefined ? null : BigInt(data.arrivals);
  const others = arrivals === null ? 0 : known.reached.filter((reached) => reached >= arrivals).length;
  return others ? `known at ${number(others)} other${others > 1 ? "s" : ""}` : "";
}

function sentence(kind, data) {
  const b = (text) => element("b", null, text);
  const by = data.by ? `by ${data.by}` : "";
  switch (kind) {
    case "map": {
      const key = element("code", null, data.key_is_base64 ? `base64 ${data.key}` : data.key);
      if (data.value === null) return [[key, " was removed"], by];
      const value = data.value_is_base64 ? `base64 ${data.value}` : data.value || "(empty)";
      const more = data.length > 256 ? `, the beginning of ${number(data.length)} bytes` : "";
      return [[key, element("div", { className: "value" }, element("code", null, value))], by + more];
    }
    case "origin": {
      const why = [data.why, by].filter(Boolean).join(", ");
      const state = data.state === "unknown" ? "not known any more" : data.state;
      return [[b(data.name), ` is ${data.is_change ? "" : "still "}${state} in ${data.place}`], why, data.state];
    }
    case "member": {
      const where = [data.place, data.address].filter(Boolean).join(", ");
      const state = { alive: "is alive", suspect: "does not answer", dead: "is dead", left: "has left", gone: "is not listed any more" };
      const mood = { dead: "down", suspect: "suspect" }[data.state];
      return [[b(data.name), ` ${state[data.state] || data.state}`], where + (data.source === "map" ? ", says the map" : ""), mood];
    }
    default: {
      const what = { ready: "knows what the others know", begins_anew: "begins anew", joined: "is let in", refused: "is not let in",
        renewed: "has come back", gone: "has left" };
      return [[b("This agent"), ` ${what[data.what] || data.what}`], data.why];
    }
  }
}
