// What must be there before the first paint, and what must not be in its way.
"use strict";
{
  // The chosen colours, so that the page never flashes in the others; without a choice of this
  // person the system's setting counts.
  let theme = null;
  try {
    theme = localStorage.getItem("gfxbridge-theme");
  } catch {
    // Storage is switched off: the system's setting counts.
  }
  if (theme === "light" || theme === "dark")
    document.documentElement.dataset.theme = theme;

  // The rest comes once something is to be seen. A page in the background has no frames to wait for.
  // (This file is put into the page: its paths are the page's.)
  const begin = () => import("./page/app.js");
  if (document.hidden)
    addEventListener("DOMContentLoaded", begin);
  else
    requestAnimationFrame(() => setTimeout(begin));
}
