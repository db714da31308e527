// Keeps the codes and the countdown current.
"use strict";
(() => {
  const known = document.querySelectorAll("#codes li[data-username]").length;

  function show(state) {
    document.getElementById("time").value = state.seconds_left;
    document.getElementById("left").textContent = state.seconds_left;
    if (state.codes.length !== known) return location.reload();
    for (const entry of state.codes) {
      const row = document.querySelector(`#codes li[data-username="${CSS.escape(entry.username)}"]`);
      if (!row) return location.reload();
      row.classList.toggle("used", entry.used);
      row.querySelector(".code-now").textContent = `${entry.code.slice(0, 3)} ${entry.code.slice(3)}`;
      row.querySelector(".state").textContent = entry.used ? "used, wait for the next" : "";
    }
  }

  async function tick() {
    try {
      show(await (await fetch("/phone/codes")).json());
    } catch {
      // The provider restarts: keep what is shown and ask again.
    }
    setTimeout(tick, 1000);
  }

  setTimeout(tick, 1000);
})();
