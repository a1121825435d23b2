// What a person does, and what time does. With this the page begins.

let typing = null;
function search() {
  shown.search = $("search").value.trim();
  clearTimeout(typing);
  const isAsked = !known.isWhole && (shown.search || shown.condition);
  // What was found before is shown, as far as it fits, until the answer is here.
  if (!isAsked) shown.found = null;
  else typing = setTimeout(async () => {
    const asked = `${shown.search} ${shown.condition}`;
    const found = new Map();
    const condition = shown.condition ? `&condition=${shown.condition}` : "";
    await origins(`/origins?history=1&limit=${MOST_ROWS}&search=${encodeURIComponent(shown.search)}${condition}`, found).catch(() => {});
    if (asked === `${shown.search} ${shown.condition}`) { shown.found = found; draw("origins"); }
  }, 200);
  draw("origins");
}

$("search").addEventListener("input", search);
addEventListener("pointerdown", () => { isPressed = true; });
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => { isPressed = false; });
setInterval(() => {
  for (const time of $("changes").querySelectorAll("time")) {
    const text = span(now() - Number(time.dataset.at));
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);
// How long something has been so grows by itself. Nobody looks at what is hidden.
setInterval(() => { if (!document.hidden) { draw("members"); draw("origins"); } }, 15000);
connect();
