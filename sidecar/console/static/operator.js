// Keeps the list live: fetches the fragment every two seconds and swaps it in when it changed, keeping what is open and
// where the keyboard is. While a form control inside the list has focus nothing is swapped.
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
  const refresh = async () => {
    try {
      const response = await fetch(list.dataset.source, { headers: { Accept: "text/html" } });
      if (response.status === 401) return location.reload();
      if (!response.ok) throw new Error(String(response.status));
      const html = await response.text();
      tell("live");
      if (html === last || list.contains(document.activeElement)) return;
      const first = last === "";
      last = html;
      if (first) return;
      const open = new Set([...list.querySelectorAll("details[open]")].map((item) => item.dataset.key));
      list.replaceChildren(...parser.parseFromString(html, "text/html").body.childNodes);
      for (const item of list.querySelectorAll("details")) item.open = open.has(item.dataset.key);
    } catch {
      tell("not connected, retrying");
    }
  };
  setInterval(refresh, 2000);
  refresh();
})();
