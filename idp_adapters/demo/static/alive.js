// Asks every two seconds whether the session still lives, and keeps the profile up to date while it does.
"use strict";
(() => {
  const account = document.getElementById("account");
  const ended = document.getElementById("ended");
  const profile = document.getElementById("profile");
  let asked = 0;

  function showEnd(reason) {
    if (reason === "signed_out") {
      document.getElementById("ended-title").textContent = "You have signed out";
      document.getElementById("ended-text").textContent = "You signed out in another window.";
    }
    account.hidden = true;
    document.querySelector("nav").hidden = true;
    ended.hidden = false;
    ended.focus();
    document.title = document.getElementById("ended-title").textContent;
  }

  async function refreshProfile() {
    const answer = await fetch("/session/profile", { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const text = await answer.text();
    if (text !== profile.dataset.last) profile.innerHTML = text; // made by our own template, escaped there
    profile.dataset.last = text;
  }

  async function poll() {
    try {
      const answer = await fetch("/session/alive");
      const state = await answer.json();
      if (!state.alive) return showEnd(state.reason);
      // What a login taught arrives a moment after it: look often at first, then seldom.
      asked += 1;
      if (profile && (asked <= 4 || asked % 5 === 0)) await refreshProfile();
    } catch {
      // The application is not reachable: that says nothing about the session.
    }
    setTimeout(poll, 2000);
  }

  setTimeout(poll, 1000);
})();
