// As much SVG as the plot needs. Colours are in its own style sheet and follow the reader's theme.

const style = `
text { font: 12px system-ui, sans-serif; fill: #24292f }
.heading { font-size: 15px; font-weight: 600 }
.title { font-weight: 600 }
.small { font-size: 10.5px; fill: #57606a }
.value { fill: #24292f }
.middle { text-anchor: middle }
.end { text-anchor: end }
.paper { fill: #ffffff }
.grid { stroke: #d8dee4; stroke-width: 1 }
.axis { stroke: #8c959f; stroke-width: 1 }
.strict { fill: #0b6bcb }
.float32 { fill: #8fbfe8 }
.line { fill: none; stroke: #0b6bcb; stroke-width: 2 }
.limit { stroke: #24292f; stroke-width: 2 }
.predicted { stroke: #c4620a; stroke-width: 1.5 }
.diamond { fill: #ffffff; stroke: #c4620a; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text, .value { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .paper { fill: #0d1117 }
  .grid { stroke: #2a313c }
  .axis { stroke: #6e7681 }
  .strict { fill: #4ea1f3 }
  .float32 { fill: #2b5f93 }
  .line { stroke: #4ea1f3 }
  .limit { stroke: #e6edf3 }
  .predicted { stroke: #f0883e }
  .diamond { fill: #0d1117; stroke: #f0883e }
}`;

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (value) => String(value).replace(/[&<>"]/g, (letter) => escapes[letter]);

export function element(name, attributes, content = '') {
  const written = Object.entries(attributes)
    .map(
      ([key, value]) =>
        `${key}="${typeof value === 'number' ? +value.toFixed(1) : escaped(value)}"`,
    )
    .join(' ');
  return `<${name} ${written}>${content}</${name}>`;
}

export const text = (x, y, content, kind) =>
  element('text', { x, y, ...(kind && { class: kind }) }, escaped(content));

/** From [low, high] to [from, to] by the logarithm. */
export function logScale([low, high], [from, to]) {
  return (value) => from + ((to - from) * Math.log(value / low)) / Math.log(high / low);
}

export function svg(width, height, parts) {
  const size = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
  };
  const paper = element('rect', { width, height, class: 'paper' });
  return `${element('svg', size, ['', `<style>${style}\n</style>`, paper, ...parts, ''].join('\n'))}\n`;
}
