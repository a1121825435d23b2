// What is known: asked of the agent, and kept as it tells what happens. Nothing is drawn here.

function address(path) {
  return token === null ? path : `${path}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;
}

async function get(path) {
  const answer = await fetch(address(path));
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the agent answers ${answer.status}`);
  return answer.json();
}

async function origins(path, into) {
  let list = null;
  for (let next = path; next && into.size < MOST_LOADED; next = list.next) {
    list = await get(next);
    for (const origin of list.origins) into.set(origin.name, origin);
  }
  return list;
}

let loading = null;
let again = false;

// Reads all lists anew. What happens meanwhile is read once more afterwards, so nothing is lost in between.
function load() {
  if (loading) { again = true; return loading; }
  loading = (async () => {
    do {
      again = false;
      const [members, changes] = await Promise.all([get("/members"), get("/changes")]);
      const found = new Map();
      const list = await origins("/origins?history=1&limit=1000", found);
      known.isWhole = list.next === null;
      // Of a fleet that is too large those are known by name that come first, and all that are in trouble.
      if (!known.isWhole) {
        const troubled = new Map();
        await origins("/origins?history=1&limit=1000&condition=down,partly", troubled);
        troubled.forEach((origin, name) => found.set(name, origin));
      }
      behind = Date.now() - members.at_ms;
      Object.assign(known, { agent: members.agent, place: members.place, inside: members.is_inside,
        ready: members.is_ready, origins: found, places: list.places, counts: list.counts });
      known.members = new Map(members.members.map((member) => [member.name, member]));
      known.changes = changes.changes.map(({ event, data }) => [event, data]).slice(0, MOST_CHANGES);
    } while (again);
  })().finally(() => { loading = null; if (!known.isWhole) search(); draw("all"); });
  return loading;
}

let soon = null;
// Who owns what is reckoned by the agent, so when somebody comes or goes it is asked, but not for each of many.
function loadSoon() {
  if (soon === null) soon = setTimeout(() => { soon = null; load().catch(() => {}); }, 2000);
}

let stream = null;
let wait = 1000;
let cut = null;

function connect() {
  stream = new EventSource(address("/events"));
  stream.onopen = () => {
    wait = 1000;
    load().then(() => { cut = null; banner(); }).catch((error) => { cut = cut || Date.now(); banner(error.message); });
  };
  stream.onerror = () => {
    cut = cut || Date.now();
    banner();
    // A stream that is refused is not asked for again by the browser.
    if (stream.readyState === EventSource.CLOSED) {
      fetch(address("/members")).then(async (answer) => { if (!answer.ok) banner((await answer.text()).trim()); }, () => {});
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 15000);
    }
  };
  stream.addEventListener("missed", () => load().catch(() => {}));
  stream.addEventListener("spread", (event) => {
    known.reached = JSON.parse(event.data).reached.map(BigInt);
    draw("changes");
  });
  for (const [kind, act] of Object.entries({ member: onMember, origin: onOrigin, map: () => {}, agent: onAgent })) {
    stream.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      if (loading) again = true;
      known.changes.unshift([kind, data]);
      known.changes.length = Math.min(known.changes.length, MOST_CHANGES);
      act(data);
      draw("changes");
    });
  }
}

function onMember(change) {
  const member = known.members.get(change.name);
  const ofGossip = member && member.source !== "map";
  if (change.source === "map" && ofGossip) return; // the gossip of a place knows better and sooner
  if (change.state === "gone") known.members.delete(change.name);
  else if (member) Object.assign(member, { state: change.state, since_ms: change.at_ms, source: change.source });
  else loadSoon();
  if (change.source === "gossip") loadSoon();
  draw("members");
}

function onOrigin(change) {
  const origin = known.origins.get(change.name);
  if (!origin) return loadSoon();
  let seen = origin.places.find((place) => place.place === change.place);
  if (!seen) {
    seen = { place: change.place, changes: 0 };
    origin.places.push(seen);
    origin.places.sort((one, other) => compare(one.place, other.place));
    if (!known.places.includes(change.place)) known.places = [...known.places, change.place].sort();
  }
  Object.assign(seen, { state: change.state, by: change.by, why: change.why });
  if (change.is_change) {
    seen.since_ms = change.at_ms;
    seen.changes += 1;
    if (change.place === known.place) {
      origin.history = [change, ...(origin.history || [])].slice(0, MOST_HISTORY);
    }
  }
  const before = origin.condition;
  origin.condition = condition(origin);
  if (shown.open.has(change.name)) look(change.name);
  known.counts[before] -= 1;
  known.counts[origin.condition] = (known.counts[origin.condition] || 0) + 1;
  draw("origins");
}

function condition(origin) {
  const [up, down] = ["up", "down"].map((state) => origin.places.some((place) => place.state === state));
  return up && down ? "partly" : up ? "up" : down ? "down" : "unknown";
}

function onAgent() {
  loadSoon();
}

function banner(why) {
  const text = cut && `The agent’s changes have not come since ${new Date(cut).toLocaleTimeString()}. `
    + (why ? `It says: ${why}` : "What you see may be out of date; the page goes on trying.");
  $("banner").hidden = !text;
  $("banner").textContent = text || "";
  $("live").textContent = text ? "cut off" : "live";
  $("live").className = text ? "cut" : "";
}
