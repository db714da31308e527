// Keeps the list live: fetches the fragment every two seconds and swaps it in when it changed, keeping what is open and
// where the keyboard is. While a button inside the list has focus nothing is swapped: it may be about to be pressed.
(() => {
  const list = document.getElementById("rows");
  if (!list) return;
  const text = document.getElementById("live-text");
  const parser = new DOMParser();
  let last = "";
  const tell = (state) => {
    if (text.textContent !== state) text.textContent = state;
    document.body.dataset.live = state;
  };
  const localTimes = () => {
    for (const item of list.querySelectorAll("time")) {
      const at = new Date(item.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      item.textContent = today ? at.toLocaleTimeString() : at.toLocaleString();
    }
  };
  const refresh = async () => {
    try {
      const response = await fetch(list.dataset.source, { headers: { Accept: "text/html" } });
      if (response.status === 401) return location.reload();
      if (!response.ok) throw new Error(String(response.status));
      const html = await response.text();
      tell("live");
      const focused = list.contains(document.activeElement) ? document.activeElement : null;
      if (html === last || focused?.matches("button, input")) return;
      const key = focused?.closest("details")?.dataset.key;
      last = html;
      const open = new Set([...list.querySelectorAll("details[open]")].map((item) => item.dataset.key));
      list.replaceChildren(...parser.parseFromString(html, "text/html").body.childNodes);
      for (const item of list.querySelectorAll("details")) {
        item.open = open.has(item.dataset.key);
        if (item.dataset.key === key) item.querySelector("summary").focus({ preventScroll: true });
      }
      localTimes();
    } catch {
      tell("not connected, retrying");
    }
  };
  localTimes();
  setInterval(refresh, 2000);
  refresh();
})();
