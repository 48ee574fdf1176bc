// Before the first paint, so that the page never flashes in the other colours.
// "light" and "dark" are choices of this person; without one the system's setting counts.
"use strict";
{
  let theme = null;
  try {
    theme = localStorage.getItem("gfxbridge-theme");
  } catch {
    // Storage is switched off: the system's setting counts.
  }
  if (theme === "light" || theme === "dark")
    document.documentElement.dataset.theme = theme;
}
