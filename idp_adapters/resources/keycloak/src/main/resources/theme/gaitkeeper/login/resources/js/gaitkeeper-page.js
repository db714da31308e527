// Starts the widget on pages where the password is asked for; everywhere else there is no #gaitkeeper and nothing happens.
(() => {
  const own = document.currentScript.src;
  const begin = () => {
    const settings = document.getElementById("gaitkeeper");
    if (!settings) return;
    const script = document.createElement("script");
    Object.assign(script.dataset, settings.dataset);
    script.src = own.replace("gaitkeeper-page.js", "gaitkeeper.js");
    document.head.append(script);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
