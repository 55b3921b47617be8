// Draws the figure that the page carries as data. Without this script the sentence and the tables remain.
"use strict";

(() => {
  const place = document.getElementById("timeline-chart");
  const source = document.getElementById("timeline-figure");
  if (!place || !source || typeof Plotly === "undefined") {
    return;
  }
  const figure = JSON.parse(source.textContent);
  const mark = place.querySelector(".without-script");
  if (mark) {
    mark.remove();
  }

  // `var(--name)` in the figure becomes the colour that the style sheet gives now: light, dark or print.
  const inColour = (value, styles) => {
    if (typeof value === "string" && value.startsWith("var(")) {
      return styles.getPropertyValue(value.slice(4, -1)).trim();
    }
    if (Array.isArray(value)) {
      return value.map((inner) => inColour(inner, styles));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inColour(v, styles)]));
    }
    return value;
  };

  const draw = () => {
    const styles = getComputedStyle(document.documentElement);
    place.style.height = `${figure.height}px`;
    Plotly.react(place, inColour(figure.data, styles), inColour(figure.layout, styles), {
      displayModeBar: false,
      responsive: true,
    });
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const forPrint = (printing) => () => {
    document.documentElement.toggleAttribute("data-print", printing);
    draw();
  };
  addEventListener("beforeprint", forPrint(true));
  addEventListener("afterprint", forPrint(false));
})();
