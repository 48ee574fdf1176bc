// Runs before the first paint.
"use strict";
{
  // The chosen theme is set before the first paint, so that the page does not flash in the other one.
  // Without a choice the system's setting is used.
  let theme = null;
  try {
    theme = localStorage.getItem("gfxbridge-theme");
  } catch {
    // Storage is disabled: the system's setting is used.
  }
  if (theme === "light" || theme === "dark")
    document.documentElement.dataset.theme = theme;

  // The rest loads after the first paint. A hidden page has no frames, so it does not wait for one.
  // (The build puts this file into the page: its paths are the page's.)
  const begin = () => import("./page/app.js");
  if (document.hidden)
    addEventListener("DOMContentLoaded", begin);
  else
    requestAnimationFrame(() => setTimeout(begin));
}
